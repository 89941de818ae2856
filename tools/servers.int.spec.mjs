// @ts-check
// Each way to a server that this machine can go, with real servers in a folder and on ports of their own.
import { once } from 'node:events';
import { chmodSync, mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { remove } from './folder.mjs';
import { isFree } from './ports.mjs';
import { identify, isAlive, processes, workingFolder } from './processes.mjs';
import { nativeRunning, resolve } from './servers.mjs';
import * as docker from './servers/docker.mjs';
import { kafka } from './servers/kafka.mjs';
import { postgres } from './servers/postgres.mjs';
import { rabbitmq } from './servers/rabbitmq.mjs';

const never = new AbortController().signal;
/** @type {string} */
let place;
/** @type {import('./servers.mjs').Context} */
let context;

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'tandem-servers-'));
  chmodSync(place, 0o755);
  const project = docker.projectOf(`test-${process.pid}`);
  context = { folder: place, logs: join(place, 'logs'), project, says: () => undefined, signal: never };
});

afterEach(async () => {
  for (const { stop } of nativeRunning(place)) await stop(AbortSignal.abort());
  remove(place);
});

/** Processes that have to do with this test's folder. */
function ours() {
  return processes().filter(
    (one) => one.pid !== process.pid && (one.command.includes(place) || workingFolder(one.pid)?.startsWith(place)),
  );
}

/** A server may leave helpers in groups of their own, which end when they notice. */
async function allEnded() {
  for (const late = Date.now() + 10_000; ours().length > 0 && Date.now() < late;) await sleep(50);
  expect(ours()).toEqual([]);
}

/** @param {string} address */
function portOf(address) {
  return Number(/:(\d+)(\/|$)/.exec(address)?.[1]);
}

describe.each([
  { server: postgres, way: /** @type {const} */ ('native') },
  { server: postgres, way: /** @type {const} */ ('embedded') },
  { server: rabbitmq, way: /** @type {const} */ ('native') },
  { server: kafka, way: /** @type {const} */ ('native') },
])('$server.name, $way', ({ server, way }) => {
  it('starts, is found again, comes back after kill -9 at the same address, and stops without a trace', async () => {
    const first = await resolve(server, way, context);
    expect(first.way).toBe(way);
    expect(await isFree(portOf(first.address))).toBe(false);

    // A start that was killed leaves its servers running.
    const again = await resolve(server, way, context);
    expect(again.pid).toBe(first.pid);

    const variable = process.env[server.variable];
    process.env[server.variable] = first.address;
    const named = await resolve(server, undefined, context);
    if (variable === undefined) delete process.env[server.variable];
    else process.env[server.variable] = variable;
    expect(named).toMatchObject({ way: 'env', address: first.address });
    expect(named.stop).toBeUndefined();

    const running = await resolve(server, 'running', { ...context, known: first.address });
    expect(running).toMatchObject({ way: 'running', address: first.address });
    expect(running.stop).toBeUndefined();

    process.kill(-(/** @type {number} */ (first.pid)), 'SIGKILL');
    const revived = await resolve(server, way, context);
    expect(revived.address).toBe(first.address);
    expect(revived.pid).not.toBe(first.pid);

    const leader = identify(revived.pid);
    await revived.stop?.(never);
    expect(isAlive(leader)).toBe(false);
    await allEnded();
    expect(await isFree(portOf(first.address))).toBe(true);
  });
});

describe('the port that a server had', () => {
  it('is waited for while another has it, but not for ever', async () => {
    const first = await resolve(postgres, 'native', context);
    const port = portOf(first.address);
    await first.stop?.(never);
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    setTimeout(() => other.close(), 500);
    const second = await resolve(postgres, 'native', context);
    expect(second.address).toBe(first.address);
    await second.stop?.(never);
    const lasting = createServer().listen(port, '127.0.0.1');
    await once(lasting, 'listening');
    const third = await resolve(postgres, 'native', context);
    expect(third.address).not.toBe(first.address);
    await postgres.probe(third.address);
    lasting.close();
  });
});

it('runs PostgreSQL below a folder that others may not enter', async () => {
  chmodSync(place, 0o700);
  const found = await resolve(postgres, 'native', context);
  await postgres.probe(found.address);
  await found.stop?.(never);
  await allEnded();
});

it.each([
  [postgres, 'postgres://nobody:wrong@127.0.0.1:1/postgres'],
  [rabbitmq, 'amqp://nobody:wrong@127.0.0.1:1'],
  [kafka, '127.0.0.1:1'],
])('names the variable of an address that does not answer, without its password (%#)', async (server, address) => {
  const before = process.env[server.variable];
  process.env[server.variable] = address;
  try {
    await expect(resolve(server, undefined, context)).rejects.toThrow(
      new RegExp(`^${server.variable}=127\\.0\\.0\\.1:1(/postgres)? does not answer: `),
    );
  } finally {
    if (before === undefined) delete process.env[server.variable];
    else process.env[server.variable] = before;
  }
});

// Without an engine there is nothing to try; the totals say that it was skipped.
const itWithDocker = (await docker.unavailable()) === undefined ? it : it.skip;
itWithDocker.each([[postgres], [rabbitmq], [kafka]])(
  'starts in Docker, and stops without a trace (%#)',
  async (server) => {
    const found = await resolve(server, 'docker', context);
    expect(found.way).toBe('docker');
    await server.probe(found.address);
    await found.stop?.(never);
    expect(await isFree(portOf(found.address))).toBe(true);
    expect(await docker.purge(context.project)).toBe(true);
  },
  180_000,
);
