import { lastingPorts } from '@tandem/tools/ports.mjs';
import kafkajs, { type Admin } from 'kafkajs';
import type pg from 'pg';
import { expectNothingLostAndNothingTwice } from './counted.testing.ts';
import { KafkaProxy } from './kafka-proxy.testing.ts';
import { cutAgainAndAgain, startLoad, stopLoads, type Load } from './load.testing.ts';
import { databaseOf, kafkaOf, topicOf } from './log.testing.ts';
import type { OwnServer } from './servers.testing.ts';
import type { OwnService } from './services.testing.ts';
import { startSystem, type System } from './system.testing.ts';
import { pause, until } from './waiting.testing.ts';

const KILLS = 50;
/** Each is a start of a broker and an election: 2 s on two idle cores. */
const KILLS_TIMEOUT_MS = 1_200_000;
const LARGE_EVENTS = 2_000;

let system: System;
let proxies: KafkaProxy[];
let gateway: OwnService;
let orders: OwnService;
let analytics: OwnService;
let admin: Admin;
let database: pg.Client;
let topic: string;
const placed = new Map<string, { id: string; version: number }>();

beforeAll(async () => {
  proxies = await Promise.all((await lastingPorts(3)).map((port) => KafkaProxy.open(port)));
  system = await startSystem(proxies.map(({ target, port }) => ({ port: target, advertisedPort: port })));
  topic = topicOf(system, 'order.events');
  [gateway, orders, analytics] = await Promise.all([
    system.start('gateway'),
    system.start('orders'),
    system.start('analytics'),
  ]);
  admin = kafkaOf(system).admin();
  await admin.connect();
  database = await databaseOf(system, 'orders');
}, 300_000);

afterEach(stopLoads);

afterAll(async () => {
  await Promise.all([admin?.disconnect(), database?.end()]);
  await system?.close();
  await Promise.all(proxies?.map((proxy) => proxy.close()) ?? []);
});

async function expectCounted(...loads: Load[]): Promise<void> {
  for (const load of loads) for (const [key, order] of await load.finish()) placed.set(key, order);
  await expectNothingLostAndNothingTwice(system, gateway.url, placed);
}

/** An order as large as the contract lets one be, most of it three bytes a character. */
const LARGE_ORDER = {
  currency: 'EUR',
  lines: Array.from({ length: 100 }, () => ({ sku: '€'.repeat(64), quantity: 1, unitPrice: 100 })),
  adjustments: Array.from({ length: 20 }, () => ({ kind: 'shipping', amount: 1 })),
  metadata: Object.fromEntries(
    Array.from({ length: 20 }, (_, index) => [String(index).padStart(40, '€'), '€'.repeat(200)]),
  ),
};

/** The broker that leads a partition, once all copies are whole again. */
async function leaderOf(partition: number): Promise<OwnServer> {
  let leader = -1;
  await until(`partition ${partition} has a leader and all its copies`, async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const found = topics[0]?.partitions.find(({ partitionId }) => partitionId === partition);
    leader = found?.leader ?? -1;
    return leader > 0 && found?.isr.length === 3;
  });
  return system.servers.brokers[leader - 1] as OwnServer;
}

/** Resolves when one more batch has been confirmed: the next is on its way. */
async function eventsAreSent(): Promise<void> {
  const before = await published();
  await until('events are sent', async () => (await published()) > before, { everyMs: 10 });
}
const published = async () =>
  BigInt((await database.query("select position from followers where name = 'kafka'")).rows[0].position);

describe('invariant 7: brokers that die', () => {
  it(
    `each the leader of a partition, killed during sends, ${KILLS} times, lose nothing of 2,000 large events`,
    async () => {
      const small = startLoad([gateway.url], { customers: 3, everyMs: 50 });
      const large = startLoad([gateway.url], {
        customers: 4,
        everyMs: 150,
        order: LARGE_ORDER,
        requestsMax: LARGE_EVENTS,
      });
      for (let kills = 0; kills < KILLS; kills += 1) {
        const leader = await leaderOf(kills % 6);
        await eventsAreSent();
        leader.kill();
        await leader.start();
      }
      await until('all large orders are placed', () => large.attempts.length >= LARGE_EVENTS, { timeoutMs: 120_000 });
      await expectCounted(small, large);
      const { rows } = await database.query(
        'select count(*)::int as count from events where octet_length(data::text) > 38000',
      );
      expect(rows[0].count).toBe(LARGE_EVENTS);
    },
    KILLS_TIMEOUT_MS,
  );
});

describe('invariant 7: the controller of the brokers', () => {
  it('is killed, and a leader while it is away, 3 times: orders are placed, and their events wait for a new leader', async () => {
    const controller = system.servers.controller as OwnServer;
    const load = startLoad([gateway.url], { customers: 4 });
    for (let turn = 0; turn < 3; turn += 1) {
      const leader = await leaderOf(turn);
      controller.kill();
      await eventsAreSent();
      leader.kill();
      const answered = load.attempts.length;
      await until('orders are placed', () => load.attempts.length > answered + 20);
      await Promise.all([controller.start(), leader.start()]);
      await eventsAreSent();
    }
    await expectCounted(load);
    expect([...new Set(load.attempts.map(({ status }) => status))]).toEqual([201]);
    await Promise.all([orders, analytics].map((service) => service.untilReady()));
  });
});

describe('invariant 7: answers to sends that are lost', () => {
  it('once, or again when it is sent again, leave every event in the log in its order', async () => {
    const load = startLoad([gateway.url], { customers: 4 });
    const lost = () => proxies.reduce((sum, proxy) => sum + proxy.lost, 0);
    for (let turn = 0; turn < 20; turn += 1) {
      const before = lost();
      for (const proxy of proxies) proxy.losing = 1 + (turn % 3);
      await until('an answer is lost', () => lost() > before);
      await pause(100);
    }
    for (const proxy of proxies) proxy.losing = 0;
    expect(lost()).toBeGreaterThanOrEqual(20);
    await expectCounted(load);
    await orders.untilReady();
  });
});

describe('invariant 6: connections to the brokers that are cut', () => {
  it('again and again: orders are placed all the same, and each event is counted once', async () => {
    const load = startLoad([gateway.url], { customers: 4 });
    let cut = 0;
    const cutAll = () => {
      for (const proxy of proxies) cut += proxy.cut();
    };
    await cutAgainAndAgain(load, cutAll, 200);
    await expectCounted(load);
    expect(cut).toBeGreaterThanOrEqual(20);
    expect([...new Set(load.attempts.map(({ status }) => status))]).toEqual([201]);
    await Promise.all([orders, analytics].map((service) => service.untilReady()));
  });
});

describe('invariant 7: sends that are rejected', () => {
  const KEPT = { 'retention.ms': '-1', 'retention.bytes': '-1', 'min.insync.replicas': '2' };
  const limitTo = (bytes: number) => ({ ...KEPT, 'max.message.bytes': String(bytes) });

  it.each([
    ['by those partitions to which much was sent', 3_000],
    ['by all partitions', 100],
  ])('%s are sent again as a whole, and orders are placed meanwhile', async (_, bytesMax) => {
    const load = startLoad([gateway.url], { customers: 6, everyMs: 5 });
    await configure(limitTo(bytesMax));
    await until('readiness says so', async () => (await orders.readiness()).checks['relay']?.status === 'degraded');
    await pause(2_000);
    expect(await orders.readiness()).toMatchObject({ httpStatus: 200 });
    await configure(KEPT);
    await expectCounted(load);
    expect([...new Set(load.attempts.map(({ status }) => status))]).toEqual([201]);
    await until('readiness is well', async () => (await orders.readiness()).checks['relay']?.status === 'ok');
  });

  const configure = (entries: Record<string, string>) =>
    admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name: topic,
          configEntries: Object.entries(entries).map(([name, value]) => ({ name, value })),
        },
      ],
    });
});
