// @ts-check
// Runs every check and test. Servers and services are its own: a namespace, free ports, and nothing left afterwards.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Balancer } from './balancer.mjs';
import { environment } from './environment.mjs';
import { folder, logs as allLogs, remove, root, tail } from './folder.mjs';
import { onInterrupt } from './interrupt.mjs';
import { loadDotEnv, readWays } from './options.mjs';
import { lastingPorts } from './ports.mjs';
import { endGroup, members, openLog, run } from './processes.mjs';
import { claim, liveRun } from './record.mjs';
import { removeTestRun, testPlaces } from './removal.mjs';
import { nativeRunning } from './servers.mjs';
import { projectOf } from './servers/docker.mjs';
import { GRACE_MS, folderOf, nx, services, untilReady } from './services.mjs';
import { StepFailed, indent } from './steps.mjs';
import { add, forgetTotals, inWords, readTotals } from './totals.mjs';
import { findServers } from './up.mjs';

const READY_TIMEOUT_MS = 60_000;
const STEP_TIMEOUT_MS = 3_600_000;

/** @typedef {{ name: string, tests: boolean, work: (step: import('./steps.mjs').Step) => Promise<void> }} Check */

/**
 * @param {import('./steps.mjs').Steps} steps
 * @param {Record<string, string | undefined>} values of the command line
 * @returns {Promise<void>} the last line printed is the totals; the exit code is 1 when anything failed
 */
export async function check(steps, values) {
  loadDotEnv();
  const ways = readWays(values, process.env);
  const chosen = chosenOf(values['only']);
  const { stop, urgent } = onInterrupt();
  const bin = join(root, 'node_modules', '.bin');
  const env = { ...process.env, NX_DAEMON: 'false' };
  /** @param {string} command @param {string[]} rest @param {NodeJS.ProcessEnv} [more] */
  const command = async (command, rest, more) => {
    const options = { cwd: root, env: { ...env, ...more }, timeoutMs: STEP_TIMEOUT_MS, signal: stop };
    const { code, output } = await run(command, rest, options);
    if (stop.aborted) throw new StepFailed('interrupted');
    if (code !== 0)
      throw new StepFailed(`failed: ${[command.slice(bin.length + 1), ...rest].join(' ')}`, output.trim());
  };
  const targets = (/** @type {string} */ target, /** @type {NodeJS.ProcessEnv} */ more = {}) =>
    command(
      nx,
      ['run-many', '-t', target, '--output-style=static', ...(target === 'int' ? ['--parallel=1'] : [])],
      more,
    );

  let totals = { passed: 0, failed: 0, skipped: 0 };
  /** Runs a step and counts it: its tests when it has some, else itself as one. @param {Check} one */
  const count = async ({ name, tests, work }) => {
    if (stop.aborted) return;
    const before = readTotals();
    const failed = await steps.run(name, work).then(
      () => false,
      (error) => {
        if (!(error instanceof StepFailed)) steps.print(indent(String(error?.stack ?? error)));
        return true;
      },
    );
    const after = readTotals();
    // Less than before, when somebody else runs tests in this checkout: never to hide a failure.
    const more = (/** @type {'passed' | 'failed' | 'skipped'} */ key) => Math.max(0, after[key] - before[key]);
    const ran = { passed: more('passed'), failed: more('failed'), skipped: more('skipped') };
    if (tests) totals = add(totals, ran);
    // A step that failed with no failed test (a crash, a server that is missing) is a failure of its own.
    if (failed && !(tests && ran.failed > 0)) totals = add(totals, { failed: 1 });
    if (!failed && !tests) totals = add(totals, { passed: 1 });
  };

  forgetTotals();
  await removeDeadRuns(steps);
  if (chosen.has('format'))
    await count({ name: 'format', tests: false, work: () => command(join(bin, 'prettier'), ['--check', '.']) });
  if (chosen.has('lint')) await count({ name: 'lint', tests: false, work: () => targets('lint') });
  if (chosen.has('types')) await count({ name: 'types', tests: false, work: () => targets('typecheck') });
  if (chosen.has('spec')) await count({ name: 'spec', tests: true, work: () => targets('test') });
  if (['int', 'e2e', 'bench'].some((name) => chosen.has(name)) && !stop.aborted) {
    const failure = await withServers(steps, { ways, stop, urgent }, async (system) => {
      if (chosen.has('int')) await count({ name: 'int', tests: true, work: () => targets('int', system.variables) });
      if (chosen.has('e2e')) {
        const options = { ...system, targets, env, stop, urgent };
        await count({ name: 'e2e', tests: true, work: (step) => endToEnd(step, { ...options, target: 'e2e' }) });
        const work = (/** @type {import('./steps.mjs').Step} */ step) => endToEndScaled(step, options);
        await count({ name: 'e2e scaled', tests: true, work });
      }
      // That the benchmark works, not how fast anything is.
      if (chosen.has('bench')) {
        const smoke = [join(root, 'tools', 'bench.mjs'), '--smoke'];
        await count({ name: 'bench', tests: false, work: () => command(process.execPath, smoke, system.variables) });
      }
    }).then(
      () => undefined,
      (error) => error ?? new Error('unknown'),
    );
    if (failure !== undefined) {
      totals = add(totals, { failed: 1 });
      if (!(failure instanceof StepFailed && failure.told)) steps.note('✘', String(failure?.stack ?? failure));
    }
  }
  if (chosen.has('faults')) await count({ name: 'faults', tests: true, work: () => withFaultsFolder(targets) });
  process.exitCode = totals.failed > 0 ? 1 : 0;
  if (stop.aborted) {
    process.exitCode = 130;
    steps.note('✘', 'interrupted');
  }
  steps.print(inWords(totals));
}

const ALL = ['format', 'lint', 'types', 'spec', 'int', 'e2e', 'bench', 'faults'];

/** @param {string | undefined} only */
function chosenOf(only) {
  const names = only === undefined ? ALL : only.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !ALL.includes(name));
  if (unknown.length > 0) throw new StepFailed(`--only takes ${ALL.join(', ')}; not ${unknown.join(', ')}`);
  return new Set(names);
}

/**
 * @typedef {object} System what tests may use
 * @property {Record<string, string>} variables addresses, namespace and ports
 * @property {import('./services.mjs').Service[]} services on free ports
 * @property {string} logs
 * @property {(group: number) => void} started notes a process group, so that it is ended whatever happens
 */

/**
 * Finds or starts the servers for a namespace of our own, and removes it afterwards.
 *
 * @param {import('./steps.mjs').Steps} steps
 * @param {{ ways: Record<string, import('./servers.mjs').Way | undefined>, stop: AbortSignal, urgent: AbortSignal }} options
 * @param {(system: System) => Promise<void>} use
 */
async function withServers(steps, { ways, stop, urgent }, use) {
  const namespace = `test-${randomBytes(3).toString('hex')}`;
  const place = join(folder, namespace);
  const logs = join(allLogs, 'test');
  const project = projectOf(namespace);
  const apps = services({});
  const ports = await lastingPorts(apps.length);
  const wanted = apps.map((one, index) => ({ ...one, port: /** @type {number} */ (ports[index]) }));
  const { run: record, save } = await claim(place, 'npm test', { namespace, project, servers: [], services: wanted });
  /** @type {{ name: string, stop: (urgent: AbortSignal) => Promise<void> }[]} */
  const started = [];
  try {
    // Those of a running `npm start` come first: the namespace keeps data apart.
    const known = Object.fromEntries((liveRun(folder)?.servers ?? []).map(({ name, address }) => [name, address]));
    const found = await findServers(steps, { ways, project, stop, started, place, logs, known });
    record.servers = found.map(({ name, variable, way, address, pid }) => ({
      name,
      variable,
      way,
      address,
      ...(pid === undefined ? {} : { pid }),
    }));
    save();
    await use({
      variables: environment(found, namespace, wanted),
      services: wanted,
      logs,
      started: (group) => {
        record.groups = [...(record.groups ?? []), group];
        save();
      },
    });
  } finally {
    await steps.run('clean', async (step) => {
      for (const group of record.groups ?? []) await endGroup(group, { graceMs: GRACE_MS, urgent });
      await removeTestRun(place);
      // Docker's are ours as well when this run started them; removeTestRun has taken their volumes along.
      step.says(
        `removed namespace ${namespace}${started.length > 0 ? `, stopped ${started.map(({ name }) => name).join(', ')}` : ''}`,
      );
    });
  }
}

/**
 * @typedef {Pick<System, 'variables' | 'services' | 'logs' | 'started'> & {
 *   targets: (target: string, more: NodeJS.ProcessEnv) => Promise<void>,
 *   env: NodeJS.ProcessEnv, stop: AbortSignal, urgent: AbortSignal }} EndToEnd
 */

/** How many of each run when the journey is made through several; of the rest one. @type {Record<string, number>} */
const SCALED = { gateway: 2, orders: 3, payments: 2, analytics: 2 };

/**
 * The same with several instances of each service, and a balancer in front of the gateways.
 *
 * @param {import('./steps.mjs').Step} step
 * @param {EndToEnd} options
 */
async function endToEndScaled(step, options) {
  const more = options.services.flatMap((one) => Array.from({ length: (SCALED[one.name] ?? 1) - 1 }, () => one));
  const ports = await lastingPorts(more.length);
  const added = more.map((one, index) => ({ ...one, port: /** @type {number} */ (ports[index]) }));
  const all = [...options.services, ...added];
  const balancer = await Balancer.open();
  try {
    for (const { name, port } of all) if (name === 'gateway') balancer.add({ url: `http://127.0.0.1:${port}` });
    await endToEnd(step, { ...options, services: all, target: 'e2e-scaled', gatewayUrl: balancer.url });
  } finally {
    await balancer.close();
  }
}

/**
 * Serves every app, without watching, and sends the whole journey through the gateway.
 *
 * @param {import('./steps.mjs').Step} step
 * @param {EndToEnd & { target: string, gatewayUrl?: string }} options `services` may hold several instances of one
 */
async function endToEnd(step, { variables, services: wanted, logs, started, targets, env, stop, urgent, ...options }) {
  step.says('setup');
  await targets('setup', variables);
  const logOf = (/** @type {import('./services.mjs').Service} */ one) => {
    const instances = wanted.filter(({ name }) => name === one.name);
    return join(logs, instances.length === 1 ? `${one.name}.log` : `${one.name}-${instances.indexOf(one) + 1}.log`);
  };
  /** @type {Set<import('./services.mjs').Service>} */
  const ended = new Set();
  let stopping = false;
  const groups = wanted.map((one) => {
    const output = openLog(logOf(one));
    const args = [
      '--enable-source-maps',
      '--conditions=@tandem/source',
      '--import',
      '../../tools/ts-hooks.mjs',
      'src/main.ts',
    ];
    const child = spawn('node', args, {
      cwd: folderOf(one.name),
      env: { ...env, ...variables, [one.variable]: `${one.port}` },
      detached: true,
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    child.on('error', () => ended.add(one));
    child.on('exit', () => stopping || ended.add(one));
    if (child.pid !== undefined) started(child.pid);
    return child.pid;
  });
  try {
    await untilReady(wanted, {
      timeoutMs: READY_TIMEOUT_MS,
      signal: stop,
      logOf,
      ended: () => [...ended][0]?.name,
      says: step.says,
    });
    step.says('');
    const gateway = wanted.find(({ name }) => name === 'gateway');
    const { target, gatewayUrl = `http://127.0.0.1:${gateway?.port}` } = options;
    try {
      await targets(target, { ...variables, GATEWAY_URL: gatewayUrl });
    } catch (error) {
      if (!(error instanceof StepFailed)) throw error;
      const last = wanted.map((one) => `last lines of ${logOf(one)}:\n${tail(logOf(one), 15)}`);
      throw new StepFailed(error.message, [error.detail, ...last].join('\n\n'));
    }
    const [crashed] = ended;
    if (crashed !== undefined) throw new StepFailed(`${crashed.name} ended during the tests`, tail(logOf(crashed)));
  } finally {
    stopping = true;
    await Promise.all(groups.map((group) => group !== undefined && endGroup(group, { graceMs: GRACE_MS, urgent })));
  }
  // A service that had to be killed has lost its way out: a drain that hangs would show here.
  const hung = groups.filter((group) => group !== undefined && members(group).length > 0);
  if (hung.length > 0) throw new StepFailed('services could not be stopped');
}

/**
 * Faults are done to servers and services of their own, which each file starts and removes, unless it is interrupted.
 *
 * @param {(target: string, more: NodeJS.ProcessEnv) => Promise<void>} targets
 */
async function withFaultsFolder(targets) {
  const place = mkdtempSync(join(tmpdir(), 'tandem-test-'));
  // A server may run as another user.
  chmodSync(place, 0o755);
  try {
    await targets('faults', { FAULTS_FOLDER: place });
  } finally {
    for (const below of readdirSync(place).map((name) => join(place, name)))
      for (const one of [below, ...readdirSync(below).map((name) => join(below, name))])
        for (const { stop } of nativeRunning(one)) await stop(AbortSignal.abort());
    remove(place);
  }
}

/** Test runs that were killed leave a folder, and a record of what to remove. @param {import('./steps.mjs').Steps} steps */
async function removeDeadRuns(steps) {
  for (const place of testPlaces()) {
    if (liveRun(place)) continue;
    await removeTestRun(place, steps).catch((error) =>
      steps.note('!', `${place} could not be removed: ${error?.message ?? error}`),
    );
  }
}
