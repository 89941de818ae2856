import { endToEnd } from '../jest.preset.mjs';

// Orders stay unpaid while the suite runs, but in the tests of payments: what a test sees does not depend on its speed.
export default {
  ...endToEnd,
  displayName: 'e2e',
  globalSetup: './provider-rests.mjs',
  globalTeardown: './provider-works.mjs',
};
