import { endToEnd } from '../jest.preset.mjs';

export default {
  ...endToEnd,
  displayName: 'faults',
  testMatch: ['<rootDir>/src/faults/**/*.faults.ts'],
  testTimeout: 180_000,
};
