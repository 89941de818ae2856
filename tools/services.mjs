// @ts-check
// The apps: where they listen, whether they are ready, how `nx serve` is started and stopped.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stripVTControlCharacters } from 'node:util';
import { root, tail } from './folder.mjs';
import { isFree, listener } from './ports.mjs';
import { endAll, endGroup, family, identify, openLog, processes, workingFolder } from './processes.mjs';
import { StepFailed } from './steps.mjs';

/** @typedef {{ name: string, variable: string, port: number }} Service */

/** Longer than a service may take to finish what it has begun (its STOP_MS). */
export const GRACE_MS = 20_000;

/**
 * The apps of this checkout, the gateway first: it is the first to stop taking requests.
 *
 * @param {NodeJS.ProcessEnv} env may move a port, or name a payment provider to use instead of the one of development
 * @returns {Service[]}
 * @throws {StepFailed} naming the variable that is wrong
 */
export function services(env) {
  const providerUrl = env['PROVIDER_URL'];
  if (providerUrl && !/^https?:$/.test(URL.parse(providerUrl)?.protocol ?? ''))
    throw new StepFailed(`PROVIDER_URL takes an http or https address; not ${JSON.stringify(providerUrl)}`);
  const all = [
    { name: 'gateway', variable: 'GATEWAY_PORT', port: 3000 },
    { name: 'orders', variable: 'ORDERS_PORT', port: 3001 },
    { name: 'payments', variable: 'PAYMENTS_PORT', port: 3002 },
    { name: 'analytics', variable: 'ANALYTICS_PORT', port: 3003 },
    // Stands for somebody else's: payments are asked of it in development and tests.
    { name: 'provider', variable: 'PROVIDER_PORT', port: 3004 },
  ];
  return all
    .filter(({ name }) => existsSync(join(folderOf(name), 'src', 'main.ts')) && !(name === 'provider' && providerUrl))
    .map((one) => ({ ...one, port: portOf(one.variable, env[one.variable], one.port) }));
}

/** @param {string} name */
export function folderOf(name) {
  return join(root, 'apps', name);
}

/** @param {string} variable @param {string | undefined} value @param {number} standard */
function portOf(variable, value, standard) {
  if (value === undefined || value === '') return standard;
  const port = Number(value);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new StepFailed(`${variable} takes a port number; not ${JSON.stringify(value)}`);
}

/** @param {Service[]} wanted @throws {StepFailed} naming who has a port, and the variable that moves it */
export async function checkPorts(wanted) {
  const taken = [];
  for (const { name, variable, port } of wanted) {
    if (await isFree(port)) continue;
    const who = await listener(port);
    const by = who ? `${who.name} (pid ${who.pid})` : 'another program';
    taken.push(`port ${port} of ${name} is taken by ${by}: end it, or set ${variable}`);
  }
  if (taken.length > 0) throw new StepFailed(taken.join('\n'));
}

/**
 * @typedef {{ status: string, reason?: string }} Check
 * @typedef {{ answers: boolean, ready: boolean, status: string, checks: Record<string, Check> }} Readiness
 */

/**
 * Asks a service whether it is ready.
 *
 * @param {Service} service
 * @returns {Promise<Readiness>}
 */
export async function readiness({ name, port }) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health/ready`, { signal: AbortSignal.timeout(3_000) });
    const body = /** @type {{ service: string, status: string, checks?: Record<string, Check> }} */ (
      await response.json()
    );
    // Somebody else's health page is not ours.
    if (body.service !== name)
      return { answers: false, ready: false, status: `port ${port} is somebody else's`, checks: {} };
    return { answers: true, ready: response.ok, status: body.status, checks: body.checks ?? {} };
  } catch {
    return { answers: false, ready: false, status: 'does not answer', checks: {} };
  }
}

/** The checks that are not `ok`, in words. @param {Readiness} state */
export function reasons({ checks }) {
  return Object.entries(checks)
    .filter(([, check]) => check.status !== 'ok')
    .map(([name, check]) => `${name} ${check.status}${check.reason ? `: ${check.reason}` : ''}`);
}

/**
 * Waits until services are ready.
 *
 * @param {Service[]} wanted
 * @param {{ timeoutMs: number, signal: AbortSignal, logOf: (service: Service) => string,
 *   ended: () => string | undefined, says: (note: string) => void }} options `ended` names a service that has given up
 * @throws {StepFailed} with the checks and the last lines of each that is not
 */
export async function untilReady(wanted, { timeoutMs, signal, logOf, ended, says }) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const states = await Promise.all(wanted.map(async (one) => ({ one, state: await readiness(one) })));
    const waiting = states.filter(({ state }) => !state.ready);
    if (waiting.length === 0) return states;
    const gone = ended();
    if (signal.aborted) throw new StepFailed('interrupted');
    if (gone !== undefined || Date.now() > deadline) {
      const about = waiting.map(({ one, state }) =>
        [
          `${one.name}: ${[state.status, ...reasons(state)].join(', ')}`,
          `last lines of ${logOf(one)}:`,
          tail(logOf(one), 15),
        ].join('\n'),
      );
      const why = gone !== undefined ? `${gone} ended while starting` : `not ready after ${timeoutMs / 1000} s`;
      throw new StepFailed(why, about.join('\n\n'));
    }
    says(`waiting for ${waiting.map(({ one }) => one.name).join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * Starts `nx run-many -t serve`: every app in watch mode, each with a log of its own.
 *
 * @param {Service[]} wanted
 * @param {{ env: NodeJS.ProcessEnv, logOf: (service: Service) => string,
 *   onEvent: (service: Service, event: 'ended' | 'restarts') => void, onExit: (code: number | null) => void }} options
 */
export function serve(wanted, { env, logOf, onEvent, onExit }) {
  const projects = wanted.map(({ name }) => name).join(',');
  // `setup` has run in a step of its own.
  const args = [
    'run-many',
    '-t',
    'serve',
    '-p',
    projects,
    '--parallel=10',
    '--output-style=stream',
    '--excludeTaskDependencies',
  ];
  const child = spawn(nx, args, { cwd: root, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const files = new Map(
    wanted.map((one) => [one.name, { one, stream: createWriteStream('', { fd: openLog(logOf(one)) }) }]),
  );
  /** What Nx itself says, for when it fails. @type {string[]} */
  const own = [];
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (coloured) => {
      const line = stripVTControlCharacters(coloured);
      const [, name = '', text = ''] = /^([\w-]+): (.*)$/.exec(line) ?? [];
      const file = files.get(name);
      if (!file) {
        own.push(line);
        own.splice(0, own.length - 100);
        return;
      }
      file.stream.write(`${text}\n`);
      // Said by `node --watch`, which then waits for a change.
      if (/^(Failed|Completed) running /.test(text)) onEvent(file.one, 'ended');
      if (/^Restarting /.test(text)) onEvent(file.one, 'restarts');
    });
  }
  child.on('error', (error) => {
    own.push(error.message);
    onExit(null);
  });
  child.on('exit', (code) => {
    for (const { stream } of files.values()) stream.end();
    onExit(code);
  });
  return { pid: child.pid, identity: identify(child.pid), said: () => own.join('\n').trim() };
}

/** The command that runs Nx: not through npm, where a SIGTERM would leave it running. */
export const nx = join(root, 'node_modules', '.bin', 'nx');

/**
 * The process groups in which Nx runs the services.
 *
 * @param {number} nxPid
 * @returns {number[]}
 */
export function serviceGroups(nxPid) {
  const groups = family(nxPid).filter((one) => one.group !== nxPid && one.command.includes(ENTRY));
  return [...new Set(groups.map((one) => one.group))];
}

/** What every service's command ends with. */
const ENTRY = 'src/main.ts';

/**
 * Stops services and Nx: first the gateway, then the others, then what watched them, then Nx.
 *
 * @param {{ nx: number | undefined, groups: number[] }} started
 * @param {AbortSignal} urgent
 */
export async function stopServices({ nx: nxPid, groups }, urgent) {
  const own = new Set([...groups, ...(nxPid === undefined ? [] : serviceGroups(nxPid))]);
  const members = () => processes().filter((one) => own.has(one.group) && one.command.includes(ENTRY));
  // `node --watch` starts the service as its child, without that option. The service goes first: a watcher that is
  // signalled does not wait for it.
  const leaves = () => members().filter((one) => !one.command.includes(' --watch '));
  const gateway = folderOf('gateway');
  const first = leaves().filter((one) => workingFolder(one.pid) === gateway);
  const alive = (/** @type {{ pid: number }[]} */ some) => () => {
    const now = new Set(leaves().map((one) => one.pid));
    return some.map((one) => one.pid).filter((pid) => now.has(pid));
  };
  await endAll(alive(first), { graceMs: GRACE_MS, urgent });
  await endAll(() => leaves().map((one) => one.pid), { graceMs: GRACE_MS, urgent });
  // Watchers get one signal each: Node 24 aborts on the second.
  await endAll(() => members().map((one) => one.pid), { graceMs: 3_000, urgent });
  if (nxPid !== undefined) await endGroup(nxPid, { graceMs: 5_000, urgent });
  for (const group of own) await endGroup(group, { graceMs: 1_000, urgent });
}
