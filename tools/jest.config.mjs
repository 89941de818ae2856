import { base } from '../jest.preset.mjs';

export default {
  ...base,
  displayName: 'tools',
  testMatch: ['<rootDir>/**/*.spec.mjs'],
  // Processes are started and ended.
  testTimeout: 60_000,
  testPathIgnorePatterns: ['/node_modules/', '\\.int\\.spec\\.mjs$'],
};
