import { randomUUID } from 'node:crypto';
import { expectNothingLostAndNothingTwice, summaryOf } from './counted.testing.ts';
import { startLoad, stopLoads } from './load.testing.ts';
import { administer, databaseOf, kafkaOf, topicOf } from './log.testing.ts';
import type { LogRecord } from './recount.testing.ts';
import { runTool, type OwnService } from './services.testing.ts';
import { startSystem, type System } from './system.testing.ts';
import { pause, until } from './waiting.testing.ts';

const LASTS_MS = 60_000;
/** Each deals out twice: once for the member that comes, once for it going again. */
const TURNS_MIN = 30;

let system: System;
let gateway: OwnService;
let members: OwnService[];
const placed = new Map<string, { id: string }>();

beforeAll(async () => {
  system = await startSystem();
  [gateway] = await Promise.all([system.start('gateway'), system.start('orders')]);
  members = await Promise.all([1, 2, 3].map(() => system.start('analytics')));
}, 300_000);

afterEach(stopLoads);

afterAll(() => system?.close());

describe('invariant 11: three members', () => {
  it('count on, and exactly, while their partitions are dealt out anew every second for 60 s', async () => {
    const orders = [
      { customerId: 'c-1', lines: [{ sku: 'A-1', quantity: 1, unitPrice: 100 }] },
      {
        customerId: 'c-2',
        lines: [
          { sku: 'A-1', quantity: 2, unitPrice: 99 },
          { sku: 'B-2', quantity: 3, unitPrice: 1_250 },
        ],
      },
    ];
    const loads = orders.map(({ customerId, lines }) =>
      startLoad([gateway.url], { customers: 2, customerId, order: { currency: 'EUR', lines } }),
    );
    const end = performance.now() + LASTS_MS;
    const goesOn = () => performance.now() < end;
    const disturb = async () => {
      for (let turn = 0; goesOn() || turn < TURNS_MIN; turn += 1) {
        const second = performance.now() + 1_000;
        await joinAndLeave();
        await pause(second - performance.now());
      }
    };
    const cancel = async () => {
      while (goesOn()) {
        const order = await post('/v1/orders', { currency: 'EUR', ...orders[0] });
        placed.set(order.id, order);
        await post(`/v1/orders/${order.id}/cancel`, { reason: 'changed my mind' });
        await pause(50);
      }
    };
    let counted = 0;
    const look = async () => {
      while (goesOn()) {
        const before = counted;
        await until('more is counted', async () => (counted = (await summaryOf(gateway.url)).position) > before);
        await pause(5_000);
      }
    };
    await Promise.all([disturb(), cancel(), look()]);
    expect(counted).toBeGreaterThan(0);

    for (const load of loads) for (const [key, order] of await load.finish()) placed.set(key, order);
    const { events, cancelled } = await expectNothingLostAndNothingTwice(system, gateway.url, placed);
    expect(cancelled).toBeGreaterThan(0);
    await expectRecounted(events);
    expect(await Promise.all(members.map((member) => member.stop()))).toEqual([0, 0, 0]);
  });
});

describe('a log whose records were deleted', () => {
  it('before they were counted is told with the way out, which counts everything again and lets it be rebuilt', async () => {
    const order = { currency: 'EUR', customerId: 'c-3', lines: [{ sku: 'C-3', quantity: 1, unitPrice: 7 }] };
    const place = async () => {
      const one = await post('/v1/orders', order);
      placed.set(one.id, one);
    };
    await Promise.all(Array.from({ length: 30 }, place));
    await untilPublished();
    await deleteRecords();
    const analytics = await system.start('analytics');
    const said = async () => (await analytics.readiness()).checks['events']?.reason ?? '';
    await until('readiness says what to do', async () => /which was published.*npm run recover/.test(await said()));
    await place();
    await until('readiness says where it waits', async () => /has a gap.*npm run recover/.test(await said()));
    expect(await rebuild('order-counts')).toMatchObject({ status: 409, code: 'log_truncated' });

    for (const name of ['orders', 'analytics'] as const)
      expect(await runTool(name, 'src/recover.ts', system.environment, '--yes')).toMatchObject({ code: 0 });
    await place();
    const { events } = await expectNothingLostAndNothingTwice(system, gateway.url, placed);
    await expectRecounted(events);
    expect(await rebuild('order-counts')).toMatchObject({ status: 202, name: 'order-counts' });
    await until('it is rebuilt', async () => {
      const { data } = (await (await fetch(`${gateway.url}/v1/admin/projections`)).json()) as {
        data: { name: string; rebuild?: { state: string } }[];
      };
      return data.find(({ name }) => name === 'order-counts')?.rebuild?.state === 'swapped';
    });
    await expectRecounted(events);
  });
});

async function untilPublished(): Promise<void> {
  const database = await databaseOf(system, 'orders');
  const text = `select (select max(position) from events) = position as all from followers where name = 'kafka'`;
  await until('all is published', async () => (await database.query(text)).rows[0]?.all === true);
  await database.end();
}

/** What retention does to a log that is older than it. */
async function deleteRecords(): Promise<void> {
  const topic = topicOf(system, 'order.events');
  await administer(system, async (admin) => {
    const ends = await admin.fetchTopicOffsets(topic);
    const partitions = ends.map(({ partition, high }) => ({ partition, offset: high }));
    await admin.deleteTopicRecords({ topic, partitions });
  });
}

async function rebuild(name: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${gateway.url}/v1/admin/projections/${name}/rebuild`, { method: 'POST' });
  return { status: response.status, ...((await response.json()) as object) };
}

/** One more member, which takes its share of the partitions, does nothing with them and leaves. */
async function joinAndLeave(): Promise<void> {
  const consumer = kafkaOf(system).consumer({
    groupId: topicOf(system, 'analytics'),
    maxWaitTimeInMs: 50,
    sessionTimeout: 6_000,
    heartbeatInterval: 200,
  });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic: topicOf(system, 'order.events') });
    await consumer.run({ autoCommit: false, eachBatch: async () => undefined });
  } finally {
    await consumer.disconnect();
  }
}

/** What is refused for now, or not known, is asked again under its key. */
async function post(path: string, body: object): Promise<{ id: string }> {
  const key = randomUUID();
  for (let tries = 1; ; tries += 1) {
    const response = await fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    });
    if (response.ok) return (await response.json()) as { id: string };
    const problem = await response.text();
    if (![503, 504].includes(response.status) || tries === 10)
      throw new Error(`${path} answers ${response.status}: ${problem}`);
    await pause(500);
  }
}

/** Each projection says, each by its own query, what plain arithmetic over the log says. */
async function expectRecounted(events: readonly LogRecord[]): Promise<void> {
  const minutes = new Map<string, { placed: number; placedAmount: number }>();
  const products = new Map<string, { orders: number; quantity: number; amount: number }>();
  const customers = new Map<string, { orders: number; amount: number }>();
  let cancelled = 0;
  for (const { headers, value } of events) {
    if (headers['ce_type'] === 'order.cancelled.v1') cancelled += 1;
    if (headers['ce_type'] !== 'order.placed.v1') continue;
    const { customerId, total, lines } = JSON.parse(value);
    const minute = `${headers['ce_time']?.slice(0, 16)}:00.000Z`;
    const inMinute = minutes.get(minute) ?? { placed: 0, placedAmount: 0 };
    minutes.set(minute, { placed: inMinute.placed + 1, placedAmount: inMinute.placedAmount + total });
    const ofCustomer = customers.get(customerId) ?? { orders: 0, amount: 0 };
    customers.set(customerId, { orders: ofCustomer.orders + 1, amount: ofCustomer.amount + total });
    for (const { sku, quantity, unitPrice } of lines) {
      const of = products.get(sku) ?? { orders: 0, quantity: 0, amount: 0 };
      products.set(sku, {
        orders: of.orders + 1,
        quantity: of.quantity + quantity,
        amount: of.amount + quantity * unitPrice,
      });
    }
  }
  const times = events.map(({ headers }) => headers['ce_time'] ?? '').sort();
  const range = `from=${times[0]}&to=${new Date(Date.parse(times.at(-1) ?? '') + 1).toISOString()}`;
  const byAmount = (a: { amount: number }, b: { amount: number }) => b.amount - a.amount;
  const rows = async (path: string) => (await ask(`${path}?${range}`))['data'];

  const inOrder = [...minutes].sort(([a], [b]) => (a < b ? -1 : 1));
  expect(await rows('revenue')).toEqual(
    inOrder.map(([start, sums]) => ({ start, currency: 'EUR', ...sums, gross: 0, refunded: 0, net: 0 })),
  );
  expect(await rows('products')).toEqual(
    [...products].map(([sku, sums]) => ({ currency: 'EUR', sku, ...sums })).sort(byAmount),
  );
  expect(await rows('customers')).toEqual(
    [...customers].map(([customerId, sums]) => ({ currency: 'EUR', customerId, ...sums })).sort(byAmount),
  );
  expect(await ask(`funnel?${range}`)).toMatchObject({
    cancellations: { reasons: [{ cause: 'customer', reason: 'changed my mind', orders: cancelled }] },
  });
}

async function ask(query: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${gateway.url}/v1/analytics/${query}`, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${query} answers ${response.status}: ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}
