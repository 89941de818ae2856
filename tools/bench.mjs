// @ts-check
// `npm run bench`: finds or starts the servers as `npm test` does, measures in namespaces of its own, and removes them.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { runCommand } from './command.mjs';

/** The namespaces that a run may make: one a row, and those of single measurements. */
const ROWS = [
  'floor',
  'stock',
  'stockNagle',
  'usual',
  'limit',
  'core',
  'full',
  'log',
  'few',
  'many',
  'p1',
  'p24',
  'paid-1',
  'paid-2',
  'paid-4',
];

const usage = `npm run bench [-- options]   measures every row of the README's numbers, in 15 minutes

  --quick               in 3 minutes
  --smoke               only shows that everything works
  --only=rows,lag       some of rows, open, lag, instances, partitions, overload, payments, log, growth
  --rows=full,stock     some of the rows
  --rounds=N  --connections=1,50,200  --prefetch=N
  --results=NAME        where the results are kept, in bench/results
  --profile=FOLDER      writes CPU profiles of the services there`;

const flag = /** @type {const} */ ({ type: 'boolean' });
const text = /** @type {const} */ ({ type: 'string' });
const options = {
  ...{ quick: flag, smoke: flag, only: text, rows: text },
  ...{ rounds: text, connections: text, prefetch: text, results: text, profile: text },
};
await runCommand({ usage, options, packages: 'install' }, ({ steps }) => bench(steps, process.argv.slice(2)));

/** @param {import('./steps.mjs').Steps} steps @param {string[]} args which the benchmark reads once more */
async function bench(steps, args) {
  const { folder, logs, root } = await import('./folder.mjs');
  const { onInterrupt } = await import('./interrupt.mjs');
  const { liveRun } = await import('./record.mjs');
  const { removeNamespace, topologyOf } = await import('./namespace.mjs');
  const { projectOf } = await import('./servers/docker.mjs');
  const { findServers } = await import('./up.mjs');
  const namespace = `bench-${randomBytes(3).toString('hex')}`;
  const place = join(folder, namespace);
  const { stop, urgent } = onInterrupt();
  /** @type {{ name: string, stop: (urgent: AbortSignal) => Promise<void> }[]} */
  const started = [];
  const known = Object.fromEntries((liveRun(folder)?.servers ?? []).map(({ name, address }) => [name, address]));
  const options = { ways: {}, project: projectOf(namespace), stop, started, place, logs: join(logs, 'bench'), known };
  /** @type {import('./servers.mjs').Resolved[]} */
  let servers = [];
  try {
    servers = await findServers(steps, options);
    const addresses = Object.fromEntries(servers.map(({ variable, address }) => [variable, address]));
    const node = ['--conditions=@tandem/source', '--disable-warning=TimeoutNegativeWarning'];
    const child = spawn(
      process.execPath,
      [...node, '--import', join(root, 'tools', 'ts-hooks.mjs'), join(root, 'bench', 'src', 'main.ts'), ...args],
      { stdio: 'inherit', env: { ...process.env, ...addresses, NAMESPACE: namespace } },
    );
    const end = () => child.kill('SIGTERM');
    stop.addEventListener('abort', end, { once: true });
    const code = await new Promise((resolve) => child.once('exit', resolve));
    process.exitCode = typeof code === 'number' ? code : 1;
  } finally {
    await steps.run('clean', async (step) => {
      for (const row of ROWS) await removeNamespace(await topologyOf(`${namespace}-${row.toLowerCase()}`), servers);
      for (const server of started) await server.stop(urgent);
      step.says(`removed namespaces ${namespace}-*`);
    });
  }
}
