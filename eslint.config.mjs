import nx from '@nx/eslint-plugin';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';

const noBarrel = {
  regex: '^@tandem/[^/]+$',
  message: "Import the file that defines the name: '@tandem/<library>/<file>'. Libraries have no barrel.",
};

const dependencies = [
  { sourceTag: 'scope:contracts', onlyDependOnLibsWithTags: ['scope:contracts'] },
  { sourceTag: 'type:lib', onlyDependOnLibsWithTags: ['type:lib'] },
  { sourceTag: 'type:app', onlyDependOnLibsWithTags: ['type:lib'] },
  { sourceTag: 'type:e2e', onlyDependOnLibsWithTags: ['type:lib', 'type:tool'] },
];

/** What relay and consumer decide, without a database or a broker. */
const DECISIONS = [
  'orders/src/followers/chain',
  'orders/src/followers/confirmed-producer',
  'analytics/src/consumer/follow-chain',
  'analytics/src/consumer/read-record',
  'analytics/src/checkpoints/checkpoints',
  'analytics/src/checkpoints/searches',
];

export default [
  ...nx.configs['flat/base'],
  ...nx.configs['flat/typescript'],
  { ignores: ['**/dist', '**/dist-bundle', '**/out-tsc', '**/out-tests', '**/coverage', '**/node_modules'] },
  {
    files: ['**/*.ts'],
    plugins: { 'import-x': importX },
    settings: {
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      'import-x/resolver-next': [createNodeResolver({ conditionNames: ['@tandem/source', 'import', 'default'] })],
    },
    rules: {
      'import-x/no-cycle': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@nx/enforce-module-boundaries': [
        'error',
        {
          enforceBuildableLibDependency: true,
          allow: [],
          depConstraints: dependencies,
        },
      ],
      'no-restricted-imports': ['error', { patterns: [noBarrel] }],
    },
  },
  {
    // The simulation drives exactly these files of the services, as they stand, and nothing else of them.
    files: ['e2e/src/simulation/**/*.ts'],
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        {
          enforceBuildableLibDependency: true,
          allow: DECISIONS.map((file) => `../../../apps/${file}.ts`),
          depConstraints: dependencies,
        },
      ],
    },
  },
  {
    // Contracts describe data: they know their schema library and nothing else.
    files: ['libs/contracts/src/**/*.ts'],
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^(?!zod$|\\./|\\.\\./)', message: 'Contracts import only zod and each other.' }] },
      ],
    },
  },
  {
    // The domain is pure: its result follows from its arguments alone.
    files: ['apps/orders/src/order/order.ts', 'apps/orders/src/order/decide.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(?!@tandem/contracts/|\\./(order|decide)\\.ts$)',
              message: 'order.ts and decide.ts import only each other and contracts.',
            },
          ],
        },
      ],
      'no-restricted-globals': [
        'error',
        { name: 'process', message: 'The domain is pure: pass what it needs as an argument.' },
        { name: 'crypto', message: 'The domain is pure: pass ids as arguments.' },
        { name: 'fetch', message: 'The domain is pure.' },
        { name: 'setTimeout', message: 'The domain is pure.' },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'The domain is pure: time is an argument.' },
        { object: 'Math', property: 'random', message: 'The domain is pure.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Time is an argument.' },
        { selector: 'ThrowStatement', message: 'A refusal is a value: return a rejection.' },
        { selector: 'AwaitExpression', message: 'The domain is pure and synchronous.' },
      ],
    },
  },
  {
    // The environment is read in one file per app, parsed by a schema.
    files: ['apps/*/src/**/*.ts', 'libs/*/src/**/*.ts'],
    ignores: [
      'apps/*/src/config.ts',
      '**/*.spec.ts',
      '**/*.testing.ts',
      'apps/orders/src/order/order.ts',
      'apps/orders/src/order/decide.ts',
    ],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Read the environment in config.ts, once, through its schema.' },
      ],
    },
  },
];
