import { integration } from '../jest.preset.mjs';

export default { ...integration, displayName: 'tools:int', testMatch: ['<rootDir>/**/*.int.spec.mjs'] };
