// @ts-check
// Finds or starts a server. The order: an address in the environment; one of ours that still runs; one that answers on
// its standard port with the standard development login; a Docker engine; native.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJson, writeJson } from './folder.mjs';
import { freePort } from './ports.mjs';
import { endGroup, identify, isAlive } from './processes.mjs';
import { StartFailed, StepFailed } from './steps.mjs';
import * as docker from './servers/docker.mjs';
import { kafka } from './servers/kafka.mjs';
import { postgres } from './servers/postgres.mjs';
import { rabbitmq } from './servers/rabbitmq.mjs';

/**
 * @typedef {'env' | 'running' | 'docker' | 'native' | 'embedded'} Way
 *
 * @typedef {object} Context where and for whom servers are started
 * @property {string} folder data of native servers, one folder each
 * @property {string} logs
 * @property {string} project the Docker compose project's name
 * @property {(note: string) => void} says what is being done, for the step's line
 * @property {AbortSignal} signal stops waiting
 * @property {string} [known] an address to try before the standard one
 *
 * @typedef {object} Launched a native server's first moments
 * @property {'native' | 'embedded'} way
 * @property {string} address
 * @property {number | undefined} pid leader of its process group
 * @property {import('./processes.mjs').Identity[]} [companions] leaders of groups that live and die with it
 * @property {() => string | undefined} failed why it will never answer (its last words), once it has ended
 *
 * @typedef {object} Server what is particular to each of the three
 * @property {'postgres' | 'rabbitmq' | 'kafka'} name also the service's name in docker-compose.yml
 * @property {string} title
 * @property {string} variable the environment variable with its address
 * @property {number} standardPort
 * @property {Way[]} ways
 * @property {(port: number) => string[]} standardAddresses loopback, with the standard development login
 * @property {(address: string) => Promise<void>} probe logs in and asks something; throws when that fails
 * @property {(context: Context, port: number, way?: 'native' | 'embedded') => Promise<Launched>} launch from programs on
 *   this machine, on loopback; throws StepFailed naming what to install, StartFailed when it is worth trying again
 * @property {NodeJS.Signals} stopSignal
 *
 * @typedef {object} Resolved a server that answers
 * @property {Server['name']} name
 * @property {string} variable
 * @property {Way} way
 * @property {string} address with the login
 * @property {number | undefined} pid of ours, when native
 * @property {(urgent: AbortSignal) => Promise<void>} [stop] absent when it was not ours to start
 */

const START_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 20_000;
const PORT_TIMEOUT_MS = 5_000;

/** All servers. @type {Server[]} */
export const servers = [postgres, rabbitmq, kafka];

/**
 * @param {Server} server
 * @param {Way | undefined} forced the only way to try
 * @param {Context} context
 * @returns {Promise<Resolved>}
 * @throws {StepFailed} saying what to do
 */
export async function resolve(server, forced, context) {
  const address = process.env[server.variable];
  if (forced === 'env' && !address) throw new StepFailed(`${server.variable} is not set`);
  if (address && (forced === undefined || forced === 'env')) return fromEnvironment(server, address, context);
  /** @type {string[]} */
  const why = [];
  if (forced === undefined || forced === 'native' || forced === 'embedded') {
    const left = await leftRunning(server, forced, context);
    if (left) return left;
  }
  if (forced === undefined || forced === 'running') {
    const { found, reason } = await standard(server, context.known);
    if (found) {
      context.says(`answers at ${withoutLogin(found)}`);
      return { ...named(server), way: 'running', address: found, pid: undefined };
    }
    why.push(reason);
    if (forced) throw new StepFailed(`${server.title}: ${reason}`);
  }
  if (forced === undefined || forced === 'docker') {
    const unavailable = await docker.unavailable();
    if (unavailable === undefined) {
      try {
        return await fromDocker(server, context);
      } catch (error) {
        if (forced || context.signal.aborted) throw error;
        why.push(`Docker: ${messageOf(error)}`);
      }
    } else if (forced) throw new StepFailed(`${server.title}: ${unavailable}`);
    else why.push(unavailable);
  }
  try {
    return await native(server, forced === 'native' || forced === 'embedded' ? forced : undefined, context);
  } catch (error) {
    if (forced || !(error instanceof StepFailed)) throw error;
    throw new StepFailed(error.message, [...why.map((one) => `tried: ${one}`), error.detail ?? ''].join('\n').trim());
  }
}

/** @param {Server} server @param {string} address @param {Context} context @returns {Promise<Resolved>} */
async function fromEnvironment(server, address, context) {
  context.says(`asking ${withoutLogin(address)}`);
  try {
    await server.probe(address);
  } catch (error) {
    throw new StepFailed(`${server.variable}=${withoutLogin(address)} does not answer: ${messageOf(error)}`);
  }
  context.says(`${server.variable}, ${withoutLogin(address)}`);
  return { ...named(server), way: 'env', address, pid: undefined };
}

/** @param {Server} server @param {string | undefined} known */
async function standard(server, known) {
  let reason = '';
  const usual = server.standardAddresses(server.standardPort);
  for (const address of known === undefined ? usual : [known, ...usual]) {
    try {
      await server.probe(address);
      return { found: address, reason };
    } catch (error) {
      reason = `nothing usable on port ${server.standardPort} (${messageOf(error)})`;
    }
  }
  return { found: undefined, reason };
}

/** @param {Server} server @param {Context} context @returns {Promise<Resolved>} */
async function fromDocker(server, context) {
  context.says('docker compose up');
  const stop = (/** @type {AbortSignal} */ urgent) => docker.stop(server, context, urgent);
  try {
    const addresses = server.standardAddresses(await docker.up(server, context));
    const failed = () => docker.failed(server, context);
    const address = await firstAnswer(server, addresses, docker.TIMEOUT_MS, context, failed);
    context.says(`Docker, ${withoutLogin(address)}`);
    return { ...named(server), way: 'docker', address, pid: undefined, stop };
  } catch (error) {
    // What began to start must not stay; why it failed is worth more than a failure to remove it.
    await stop(context.signal).catch(() => undefined);
    throw error;
  }
}

/**
 * A native server of ours that a killed run left behind. One that no longer answers is ended, so that its data and its
 * port can be used again.
 *
 * @param {Server} server
 * @param {Way | undefined} forced
 * @param {Context} context
 * @returns {Promise<Resolved | undefined>}
 */
async function leftRunning(server, forced, context) {
  const record = readRecord(server, context);
  if (record === undefined) return undefined;
  if (isAlive(record.leader) && (forced === undefined || forced === record.way)) {
    try {
      await server.probe(record.address);
      context.says(`${record.way}, still running, ${withoutLogin(record.address)}`);
      return ours(server, record, context);
    } catch {
      context.says('ending one that does not answer');
    }
  }
  if (record.leader) await endNative(server, record, context, new AbortController().signal);
  return undefined;
}

/**
 * @param {Server} server
 * @param {'native' | 'embedded' | undefined} way
 * @param {Context} context
 * @returns {Promise<Resolved>}
 */
async function native(server, way, context) {
  context.says('starting');
  try {
    return await startNative(server, way, context);
  } catch (error) {
    if (context.signal.aborted || !(error instanceof StartFailed)) throw error;
    context.says(`starting again: ${error.message}`);
    return startNative(server, way, context);
  }
}

/** @param {Server} server @param {'native' | 'embedded' | undefined} way @param {Context} context @returns {Promise<Resolved>} */
async function startNative(server, way, context) {
  // Its clients know the port that it had: worth waiting until whoever has it at this moment lets go of it.
  const known = readRecord(server, context)?.port;
  const port = known === undefined ? await freePort(server.standardPort) : await freePort(known, PORT_TIMEOUT_MS);
  const launched = await server.launch(context, port, way);
  const leader = identify(launched.pid);
  if (leader === undefined) throw new StartFailed(`${server.title} did not start`, launched.failed());
  const { address, companions = [] } = launched;
  /** @type {Record} */
  const record = { way: launched.way, address, port, leader, companions };
  writeJson(recordPath(server, context), record);
  try {
    await firstAnswer(server, [address], START_TIMEOUT_MS, context, launched.failed);
  } catch (error) {
    await endNative(server, record, context, context.signal);
    throw error;
  }
  context.says(`${record.way}, ${withoutLogin(address)}, pid ${leader.pid}`);
  return ours(server, record, context);
}

/**
 * Waits until one of the addresses answers.
 *
 * @param {Server} server
 * @param {string[]} addresses
 * @param {number} timeoutMs
 * @param {Context} context
 * @param {() => string | undefined | Promise<string | undefined>} failed
 */
async function firstAnswer(server, addresses, timeoutMs, context, failed) {
  const deadline = Date.now() + timeoutMs;
  let last = '';
  while (Date.now() < deadline) {
    if (context.signal.aborted) throw new StepFailed('interrupted');
    for (const address of addresses) {
      try {
        await server.probe(address);
        return address;
      } catch (error) {
        last = messageOf(error);
      }
    }
    const why = await failed();
    if (why !== undefined) throw new StartFailed(`${server.title} ended while starting`, why);
    await sleep(100);
  }
  throw new StartFailed(
    `${server.title} did not answer within ${timeoutMs / 1000} s (${last})`,
    (await failed()) ?? '',
  );
}

/**
 * Native servers of this folder that still run, for `npm run status` and `npm run clean`.
 *
 * @param {string} place the folder with their data
 * @returns {{ server: Server, record: Record, stop: (urgent: AbortSignal) => Promise<void> }[]}
 */
export function nativeRunning(place) {
  return servers.flatMap((server) => {
    const record = readRecord(server, { folder: place });
    if (record === undefined || !isAlive(record.leader)) return [];
    return [{ server, record, stop: (urgent) => endNative(server, record, { folder: place }, urgent) }];
  });
}

/** An address as it may be shown: without user and password. @param {string} address */
export function withoutLogin(address) {
  return address.replace(/^\w+:\/\//, '').replace(/^[^@/]*@/, '');
}

/**
 * @typedef {object} Record what is kept of a native server, in its folder
 * @property {'native' | 'embedded'} way
 * @property {string} address
 * @property {number} port kept when it has stopped, so that it comes back at the same address
 * @property {import('./processes.mjs').Identity} [leader] absent when it was stopped
 * @property {import('./processes.mjs').Identity[]} companions
 */

/** @param {Server} server @param {Record} record @param {Context} context @returns {Resolved} */
function ours(server, record, context) {
  const { way, address } = record;
  const stop = (/** @type {AbortSignal} */ urgent) => endNative(server, record, context, urgent);
  return { ...named(server), way, address, pid: record.leader?.pid, stop };
}

/**
 * @param {Server} server
 * @param {Record} record
 * @param {Pick<Context, 'folder'>} context
 * @param {AbortSignal} urgent
 */
async function endNative(server, { leader, companions, ...rest }, context, urgent) {
  if (leader) {
    // The leader may be gone while others of its group live on, and its id may belong to somebody else by now.
    const mine = isAlive(leader) || identify(leader.pid) === undefined;
    if (mine) await endGroup(leader.pid, { signal: server.stopSignal, graceMs: STOP_TIMEOUT_MS, urgent });
    for (const companion of companions) {
      if (isAlive(companion)) await endGroup(companion.pid, { graceMs: STOP_TIMEOUT_MS, urgent });
    }
  }
  writeJson(recordPath(server, context), { ...rest, companions: [] });
}

/** @param {Server} server @param {Pick<Context, 'folder'>} context */
function recordPath(server, context) {
  return join(context.folder, server.name, 'server.json');
}

/** @param {Server} server @param {Pick<Context, 'folder'>} context @returns {Record | undefined} */
function readRecord(server, context) {
  return readJson(recordPath(server, context));
}

/** @param {Server} server */
function named(server) {
  return { name: server.name, variable: server.variable };
}

/** @param {unknown} error @returns {string} */
export function messageOf(error) {
  if (error instanceof AggregateError && !error.message) return error.errors.map(messageOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}
