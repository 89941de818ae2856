import { base } from '../jest.preset.mjs';

export default {
  ...base,
  displayName: 'tools',
  testMatch: ['<rootDir>/**/*.spec.mjs'],
  testPathIgnorePatterns: ['/node_modules/', '\\.int\\.spec\\.mjs$'],
};
