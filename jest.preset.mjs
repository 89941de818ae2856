// Shared by every project's jest configuration. Needs NODE_OPTIONS=--experimental-vm-modules (nx.json sets it).
import { fileURLToPath } from 'node:url';

const totals = fileURLToPath(new URL('./tools/jest-totals.mjs', import.meta.url));

/** Specs: milliseconds, no services. */
export const base = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/src/**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/', '\\.int\\.spec\\.ts$'],
  reporters: ['default', totals],
  // A library may have integration specs only.
  passWithNoTests: true,
  setupFiles: ['reflect-metadata'],
  extensionsToTreatAsEsm: ['.ts'],
  testEnvironmentOptions: { customExportConditions: ['@tandem/source', 'node', 'node-addons'] },
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        sourceMaps: 'inline',
        module: { type: 'es6' },
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, verbatimModuleSyntax: true },
          keepClassNames: true,
        },
      },
    ],
  },
  coverageDirectory: 'coverage',
};

/** Integration specs: real Postgres and brokers. A missing server fails them, it never skips them. */
export const integration = {
  ...base,
  testMatch: ['<rootDir>/src/**/*.int.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  passWithNoTests: false,
  testTimeout: 60_000,
  maxWorkers: 1,
};

/** The whole system through HTTP. */
export const endToEnd = {
  ...integration,
  testMatch: ['<rootDir>/src/**/*.e2e.ts'],
};
