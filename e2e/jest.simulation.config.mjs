import { base } from '../jest.preset.mjs';

// No servers: the code of the services against modelled ones.
export default { ...base, displayName: 'simulation', testTimeout: 60_000 };
