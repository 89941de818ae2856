import { endToEnd } from '../jest.preset.mjs';

export default {
  ...endToEnd,
  displayName: 'faults',
  testMatch: ['<rootDir>/src/faults/**/*.faults.ts'],
  testTimeout: 180_000,
  // Each file has servers and services of its own, and waits more than it works.
  maxWorkers: 2,
};
