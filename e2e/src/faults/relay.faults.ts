import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { expectNothingLostAndNothingTwice } from './counted.testing.ts';
import { startLoad, stopLoads } from './load.testing.ts';
import { ROOT, type OwnService } from './services.testing.ts';
import { startSystem, type System } from './system.testing.ts';
import { pause, until } from './waiting.testing.ts';

const PRODUCER = pathToFileURL(join(ROOT, 'apps/orders/src/followers/confirmed-producer.ts')).href;
const afterSending = (topic: string, call: number) =>
  JSON.stringify({ module: PRODUCER, class: 'ConfirmedProducer', method: 'send', first: topic, call, when: 'after' });

let system: System;
let gateway: OwnService;
const placed = new Map<string, { id: string; version: number }>();

beforeAll(async () => {
  system = await startSystem();
  gateway = await system.launch('gateway');
  await system.start('analytics');
}, 300_000);

afterEach(stopLoads);

afterAll(() => system?.close());

/**
 * Runs orders again and again, each until it dies at the point named, and the next beside it, which then takes over. Which of
 * two leads is open, so the one that is to live starts only when all others are dead: beside it they might never lead.
 */
async function dieAgainAndAgain(times: number, crashAt: (turn: number) => string): Promise<void> {
  const load = startLoad([gateway.url], { customers: 4 });
  const launch = (turn: number) => system.launch('orders', { CRASH_AT: crashAt(turn) });
  let next = launch(0);
  for (let turn = 0; turn < times; turn += 1) {
    const dying = await next;
    if (turn + 1 < times) next = launch(turn + 1);
    let isDead = false;
    void dying.exited.then(() => (isDead = true));
    await until(`orders has died for the ${turn + 1}. time`, () => isDead, { everyMs: 10, about: dying.log });
    expect(await dying.exited).toBeNull();
  }
  const orders = await system.start('orders');
  for (const [key, order] of await load.finish()) placed.set(key, order);
  await expectNothingLostAndNothingTwice(system, gateway.url, placed);
  expect(await orders.stop()).toBe(0);
}

describe('invariants 6 to 9: a relay that dies', () => {
  it('between sending events and its checkpoint, 20 times, loses nothing and counts nothing twice', () =>
    dieAgainAndAgain(20, (turn) => afterSending('order.events', 1 + (turn % 3))));

  it('between the checkpoint in the log and the one in the database, 20 times, neither', () =>
    dieAgainAndAgain(20, (turn) => afterSending('order.checkpoints', 1 + (turn % 3))));
});

describe('invariant 6: a leader that was stopped', () => {
  it('is replaced within seconds, and does no harm when it wakes up', async () => {
    const first = await system.start('orders');
    const load = startLoad([gateway.url], { customers: 4 });
    await pause(500);
    const second = await system.start('orders');
    first.kill('SIGSTOP');
    const stopped = performance.now();
    const sinceThen = () => load.attempts.filter(({ status, atMs }) => status === 201 && atMs > stopped).length;
    await until('the other one answers', () => sinceThen() > 20);
    await pause(5_000);
    first.kill('SIGCONT');
    await pause(2_000);
    for (const [key, order] of await load.finish()) placed.set(key, order);
    await expectNothingLostAndNothingTwice(system, gateway.url, placed);
    expect(await Promise.all([first.stop(), second.stop()])).toEqual([0, 0]);
  });
});
