import { integration } from '../jest.preset.mjs';

export default {
  ...integration,
  displayName: 'tools:int',
  testMatch: ['<rootDir>/**/*.int.spec.mjs'],
  // Each of them starts servers.
  testTimeout: 300_000,
};
