import config from './jest.config.mjs';

// The same suite on several instances of each service, and what only several can show.
export default { ...config, displayName: 'e2e:scaled', testMatch: ['<rootDir>/src/**/*.{e2e,scaled}.ts'] };
