import { endToEnd } from '../jest.preset.mjs';

export default {
  ...endToEnd,
  displayName: 'faults',
  testMatch: ['<rootDir>/src/faults/**/*.faults.ts'],
  // Each wait in them is bounded by itself.
  testTimeout: 900_000,
  // Each file has servers and services of its own, and waits more than it works.
  maxWorkers: 2,
};
