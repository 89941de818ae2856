// Each rule of the architecture is broken once, to see that it still fires.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const decide = readFileSync(`${root}/apps/orders/src/order/decide.ts`, 'utf8');
const money = readFileSync(`${root}/libs/contracts/src/money.ts`, 'utf8');

/** What is broken, where, by which text, and the rule that must say so. */
const VIOLATIONS = [
  [
    'an app that imports another app',
    'apps/gateway/src/config.ts',
    "import { decide } from '../../orders/src/order/decide.ts';\nexport const used = decide;\n",
    '@nx/enforce-module-boundaries',
  ],
  [
    'a library that imports an app',
    'libs/transports/src/rabbitmq/wire.ts',
    "import { decide } from '../../../../apps/orders/src/order/decide.ts';\nexport const used = decide;\n",
    '@nx/enforce-module-boundaries',
  ],
  [
    'a simulation that drives more of a service than what it decides',
    'e2e/src/simulation/schedule.testing.ts',
    "import { Relay } from '../../../apps/orders/src/followers/relay.ts';\nexport const used = Relay;\n",
    '@nx/enforce-module-boundaries',
  ],
  [
    'contracts that import more than their schema library',
    'libs/contracts/src/money.ts',
    `import { hash } from 'node:crypto';\nexport const used = hash;\n${money}`,
    'no-restricted-imports',
  ],
  [
    'a domain that imports a library',
    'apps/orders/src/order/decide.ts',
    `import { v7 } from 'uuid';\nexport const used = v7;\n${decide}`,
    'no-restricted-imports',
  ],
  [
    'a domain that reads the clock',
    'apps/orders/src/order/decide.ts',
    `${decide}\nexport const now = Date.now();\n`,
    'no-restricted-properties',
  ],
  [
    'a domain that makes a date of its own',
    'apps/orders/src/order/decide.ts',
    `${decide}\nexport const now = new Date();\n`,
    'no-restricted-syntax',
  ],
  [
    'a domain that throws',
    'apps/orders/src/order/order.ts',
    "export function refuse(): never {\n  throw new Error('no');\n}\n",
    'no-restricted-syntax',
  ],
  [
    'a circle of files',
    'libs/contracts/src/money.ts',
    `import { OrderId } from './order.ts';\nexport const used = OrderId;\n${money}`,
    'import-x/no-cycle',
  ],
  [
    'the environment read outside the configuration',
    'apps/orders/src/serve.ts',
    "export const port = process.env['PORT'];\n",
    'no-restricted-properties',
  ],
  [
    'a barrel of a library',
    'apps/orders/src/serve.ts',
    "import { OrderId } from '@tandem/contracts';\nexport const used = OrderId;\n",
    'no-restricted-imports',
  ],
];

/** @type {string[][]} */
let found = [];

beforeAll(() => {
  const texts = VIOLATIONS.map(([, path, text]) => ({ filePath: `${root}/${path}`, text }));
  const clean = { filePath: `${root}/apps/orders/src/order/decide.ts`, text: decide };
  const options = { cwd: root, input: JSON.stringify([...texts, clean]), encoding: 'utf8', timeout: 110_000 };
  const { stdout, stderr, status } = spawnSync(process.execPath, [`${root}/tools/lint-texts.mjs`], options);
  if (status !== 0) throw new Error(`The linter failed: ${stderr}`);
  found = JSON.parse(stdout);
}, 120_000);

describe('the lint rules of the architecture', () => {
  it.each(VIOLATIONS.map(([what, , , rule], index) => [what, rule, index]))('catch %s', (_what, rule, index) => {
    expect(found[index]).toContain(rule);
  });

  it('leave the code alone as it stands', () => {
    expect(found[VIOLATIONS.length]).toEqual([]);
  });
});
