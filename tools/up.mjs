// @ts-check
// Brings the development system up: servers, set-up, services. Stays until it is interrupted, then stops what it started.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment, writeEnvironment } from './environment.mjs';
import { folder, logs, root, tail } from './folder.mjs';
import { aborted, onInterrupt } from './interrupt.mjs';
import { loadDotEnv, namespaceOf, readWays } from './options.mjs';
import { run } from './processes.mjs';
import { claim } from './record.mjs';
import { remember } from './removal.mjs';
import { resolve, servers, withoutLogin } from './servers.mjs';
import { projectOf } from './servers/docker.mjs';
import {
  checkPorts,
  nx,
  readiness,
  reasons,
  serve,
  serviceGroups,
  services,
  stopServices,
  untilReady,
} from './services.mjs';
import { StepFailed, indent } from './steps.mjs';

const READY_TIMEOUT_MS = 60_000;
/** How long services may be degraded before it is said. */
const SETTLE_MS = 3_000;

/**
 * @param {import('./steps.mjs').Steps} steps
 * @param {Record<string, string | undefined>} values of the command line
 * @returns {Promise<void>} when all that was started has stopped; the exit code is set
 */
export async function up(steps, values) {
  loadDotEnv();
  const ways = readWays(values, process.env);
  const namespace = namespaceOf(process.env);
  const wanted = services(process.env);
  const project = projectOf(namespace);
  const { stop, urgent } = onInterrupt();
  const {
    recovered,
    run: record,
    save,
    release,
  } = await claim(folder, 'npm start', { namespace, project, servers: [], services: wanted });
  if (recovered) steps.note('!', 'ended services that an earlier start had left running');

  /** What has to be stopped, last started first. @type {{ name: string, stop: (urgent: AbortSignal) => Promise<void> }[]} */
  const started = [];
  try {
    await checkPorts(wanted);
    const found = await findServers(steps, { ways, project, stop, started });
    record.servers = found.map(({ name, variable, way, address, pid }) => ({
      name,
      variable,
      way,
      address,
      ...(pid === undefined ? {} : { pid }),
    }));
    save();
    remember(record);
    const variables = {
      ...environment(found, namespace, wanted, process.env['PROVIDER_URL']),
      // Refunds need the charges of former starts.
      PROVIDER_FILE: process.env['PROVIDER_FILE'] || join(folder, 'provider.jsonl'),
    };
    writeEnvironment(join(folder, 'env'), variables);
    const env = { ...process.env, ...variables, NX_DAEMON: 'false' };
    const providerUrl = process.env['PROVIDER_URL'];
    if (providerUrl && !wanted.some(({ name }) => name === 'provider'))
      steps.note('!', `payments are made at ${withoutLogin(providerUrl)}, as PROVIDER_URL says`);
    await setUp(steps, env, stop);
    await keepServing(steps, { wanted, env, stop, started, record, save });
  } catch (error) {
    process.exitCode = 1;
    // An interrupted step has nothing more to say.
    if (!stop.aborted && !(error instanceof StepFailed && error.told)) {
      steps.note(
        '✘',
        error instanceof StepFailed ? error.message : String(error instanceof Error ? error.stack : error),
      );
      if (error instanceof StepFailed && error.detail) steps.print(indent(error.detail));
    }
  } finally {
    if (started.length > 0) steps.print('');
    await stopAll(steps, started, urgent);
    release();
  }
}

/**
 * Finds or starts the servers, side by side.
 *
 * @param {import('./steps.mjs').Steps} steps
 * @param {{ ways: Record<string, import('./servers.mjs').Way | undefined>, project: string, stop: AbortSignal,
 *   started: { name: string, stop: (urgent: AbortSignal) => Promise<void> }[], place?: string, logs?: string,
 *   known?: Record<string, string> }} options `known` are addresses where one may run already
 */
export async function findServers(
  steps,
  { ways, project, stop, started, place = folder, logs: placeLogs = logs, known = {} },
) {
  // One that fails ends the wait for the others.
  const failed = new AbortController();
  const signal = AbortSignal.any([stop, failed.signal]);
  const results = await Promise.allSettled(
    servers.map((server) =>
      steps.run(server.name, async (step) => {
        try {
          const context = {
            folder: place,
            logs: placeLogs,
            project,
            says: step.says,
            signal,
            known: known[server.name],
          };
          const found = await resolve(server, ways[server.name], context);
          if (found.stop) started.push({ name: server.name, stop: found.stop });
          return found;
        } catch (error) {
          failed.abort();
          throw error;
        }
      }),
    ),
  );
  const broken = results.find((result) => result.status === 'rejected');
  if (broken) throw broken.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** @param {import('./steps.mjs').Steps} steps @param {NodeJS.ProcessEnv} env @param {AbortSignal} signal */
async function setUp(steps, env, signal) {
  await steps.run('setup', async (step) => {
    step.says('databases, migrations, topics');
    const args = ['run-many', '-t', 'setup', '--output-style=stream'];
    const { code, output } = await run(nx, args, { cwd: root, env, timeoutMs: 120_000, signal });
    if (signal.aborted) throw new StepFailed('interrupted');
    if (code !== 0)
      throw new StepFailed('nx run-many -t setup failed', output.trim().split('\n').slice(-60).join('\n'));
  });
}

/**
 * @param {import('./steps.mjs').Steps} steps
 * @param {{ wanted: import('./services.mjs').Service[], env: NodeJS.ProcessEnv, stop: AbortSignal,
 *   started: { name: string, stop: (urgent: AbortSignal) => Promise<void> }[],
 *   record: import('./record.mjs').Run, save: () => void }} options
 * @returns {Promise<void>} when interrupted
 */
async function keepServing(steps, { wanted, env, stop, started, record, save }) {
  const logOf = (/** @type {import('./services.mjs').Service} */ one) => join(logs, `${one.name}.log`);
  const ended = new AbortController();
  /** Services whose process has ended. @type {Set<string>} */
  const down = new Set();
  let watching = false;
  const serving = serve(wanted, {
    env,
    logOf,
    onEvent: (service, event) => {
      if (event === 'ended') down.add(service.name);
      if (!watching || stop.aborted) return void (event === 'restarts' && down.delete(service.name));
      if (event === 'restarts') return void cameBack(service).catch(() => undefined);
      steps.note(
        '✘',
        `${service.name} ended; it starts again when a file of it changes. The end of ${shown(logOf(service))}:`,
      );
      steps.print(indent(tail(logOf(service), 15)));
    },
    onExit: () => ended.abort(),
  });
  const cameBack = async (/** @type {import('./services.mjs').Service} */ service) => {
    const wasDown = down.delete(service.name);
    const gone = () => (down.has(service.name) || ended.signal.aborted ? service.name : undefined);
    await untilReady([service], {
      timeoutMs: READY_TIMEOUT_MS,
      signal: stop,
      logOf,
      ended: gone,
      says: () => undefined,
    });
    steps.note('✔', `${service.name} restarted and is ready${wasDown ? ' again' : ''}`);
  };
  started.push({
    name: 'services',
    stop: (urgent) => stopServices({ nx: serving.pid, groups: record.groups ?? [] }, urgent),
  });
  if (serving.identity) record.nx = serving.identity;
  save();

  await steps.run('services', async (step) => {
    const gone = () => [...down][0] ?? (ended.signal.aborted ? 'nx' : undefined);
    try {
      const states = await untilReady(wanted, {
        timeoutMs: READY_TIMEOUT_MS,
        signal: stop,
        logOf,
        ended: gone,
        says: step.says,
      });
      const degraded = (await settled(states, stop)).filter(({ state }) => state.status !== 'ok');
      const remarks = degraded.map(({ one, state }) => `${one.name} ${[state.status, ...reasons(state)].join(', ')}`);
      step.says([wanted.map(({ name, port }) => `${name} :${port}`).join(', '), ...remarks].join('\n'));
    } catch (error) {
      if (!ended.signal.aborted || !(error instanceof StepFailed)) throw error;
      throw new StepFailed(error.message, `${serving.said()}\n${error.detail ?? ''}`);
    }
  });
  if (serving.pid !== undefined) record.groups = serviceGroups(serving.pid);
  save();
  watching = true;
  welcome(steps, wanted);
  await Promise.race([aborted(stop), aborted(ended.signal)]);
  if (!stop.aborted) throw new StepFailed('nx ended by itself', serving.said());
}

/**
 * A service that has just become ready may still wait for a first word from others: that is no news for a person.
 *
 * @param {Awaited<ReturnType<typeof untilReady>>} states
 * @param {AbortSignal} signal
 */
async function settled(states, signal) {
  const late = Date.now() + SETTLE_MS;
  while (states.some(({ state }) => state.status !== 'ok') && Date.now() < late && !signal.aborted) {
    await sleep(100);
    states = await Promise.all(states.map(async ({ one }) => ({ one, state: await readiness(one) })));
  }
  return states;
}

/** @param {import('./steps.mjs').Steps} steps @param {import('./services.mjs').Service[]} wanted */
function welcome(steps, wanted) {
  const address = `http://localhost:${wanted.find(({ name }) => name === 'gateway')?.port}`;
  const order = '{"customerId":"c-42","currency":"EUR","lines":[{"sku":"A-1","quantity":2,"unitPrice":1250}]}';
  steps.print(`
Tandem is ready at ${address} (its API: ${address}/docs). Place an order:

  curl -i ${address}/v1/orders -H 'content-type: application/json' \\
    -d '${order}'

Logs: ${shown(logs)}/*.log. State: npm run status. Ctrl-C stops everything.`);
}

/**
 * @param {import('./steps.mjs').Steps} steps
 * @param {{ name: string, stop: (urgent: AbortSignal) => Promise<void> }[]} started
 * @param {AbortSignal} urgent
 */
async function stopAll(steps, started, urgent) {
  const halt = (/** @type {typeof started} */ some) =>
    Promise.allSettled(
      some.map(({ name, stop }) =>
        steps.run(name, async (step) => {
          step.says('stopping');
          await stop(urgent);
          step.says('stopped');
        }),
      ),
    );
  // Services first: they finish what they have begun, and need the servers for it.
  const results = [
    ...(await halt(started.filter(({ name }) => name === 'services'))),
    ...(await halt(started.filter(({ name }) => name !== 'services'))),
  ];
  if (results.some((result) => result.status === 'rejected')) process.exitCode = 1;
}

/** @param {string} path */
function shown(path) {
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
}
