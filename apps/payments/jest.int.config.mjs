import { integration } from '../../jest.preset.mjs';

export default { ...integration, displayName: 'payments:int' };
