import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { transaction } from '@tandem/postgres/transaction';
import fc from 'fast-check';
import { AnalyticsDatabase } from '../analytics-database.testing.ts';
import { cancelled, histories, paid, placed, shipped, someHistories } from '../histories.testing.ts';
import { partitionOf, type TestEvent } from '../order-log.testing.ts';
import { recount, recountCancellations, recountDurations, recountTops } from '../recount.testing.ts';
import { at, inLog } from './counted-events.testing.ts';
import { QUANTILE_ERROR } from './projection.ts';
import { PROJECTIONS } from './projections.ts';

const PARTITIONS = 3;
/** All of the time that the events of these tests are of. */
const DAYS = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-31T00:00:00.000Z' };
let database: AnalyticsDatabase;

beforeAll(async () => (database = await AnalyticsDatabase.create()));
beforeEach(() => database.empty());
afterAll(() => database?.remove());

/** Applies events to all projections, each partition's in batches of so many. */
async function count(events: readonly TestEvent[], batchEvents: number, schema?: string): Promise<void> {
  const partitions = Map.groupBy(inLog(events), ({ orderId }) => partitionOf(orderId, PARTITIONS));
  await Promise.all(
    [...partitions].map(async ([partition, log]) => {
      for (let start = 0; start < log.length; start += batchEvents)
        await transaction(database.pool, async (client) => {
          if (schema !== undefined) await client.query(`set local search_path = ${schema}`);
          for (const projection of PROJECTIONS)
            await projection.apply(client, partition, log.slice(start, start + batchEvents));
        });
    }),
  );
}

/** The answer itself; anything but one fails the test. */
async function counted<R extends { outcome: string }>(reply: Promise<R>): Promise<Extract<R, { outcome: 'counted' }>> {
  const answer = await reply;
  if (answer.outcome !== 'counted') throw new Error(`The answer is ${answer.outcome}.`);
  return answer as Extract<R, { outcome: 'counted' }>;
}

const waitMsMax = 0;
const queries = () => database.queries();
const summary = async () => (await counted(queries().summary({ waitMsMax }, Infinity))).summary;
const revenue = async (bucket: 'minute' | 'hour' | 'day', range = DAYS) =>
  (await counted(queries().revenue({ ...range, bucket, waitMsMax }, Infinity))).revenue;
const funnel = async (range = DAYS) => (await counted(queries().funnel({ ...range, waitMsMax }, Infinity))).funnel;
const durations = async (range = DAYS) =>
  (await counted(queries().durations({ ...range, waitMsMax }, Infinity))).durations;
const products = async (limit: number) =>
  (await counted(queries().products({ ...DAYS, limit, waitMsMax }, Infinity))).products;
const customers = async (limit: number) =>
  (await counted(queries().customers({ ...DAYS, limit, waitMsMax }, Infinity))).customers;

/** The value below which a share of them lies, by the nearest rank. */
const quantile = (sorted: readonly number[], share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;

async function expectRecounted(events: readonly TestEvent[]): Promise<void> {
  const { minutes: _, hours, days, ...sums } = recount(events);
  expect(await summary()).toMatchObject(sums);
  expect((await revenue('hour')).data).toEqual(hours);
  expect((await revenue('day')).data).toEqual(days);
  const steps = await funnel();
  expect(steps.orders).toEqual(sums.orders);
  expect(steps.cancellations).toEqual(recountCancellations(events));
  const tops = recountTops(events);
  expect((await products(100)).data).toEqual(tops.products);
  expect((await customers(100)).data).toEqual(tops.customers);
  const took = await durations();
  for (const [name, expected] of Object.entries(recountDurations(events))) {
    const duration = took[name as 'toPay' | 'toShip'];
    expect([name, duration.orders, duration.minMs, duration.maxMs]).toEqual([
      name,
      expected.length,
      expected[0] ?? null,
      expected.at(-1) ?? null,
    ]);
    if (expected.length === 0) continue;
    expect(duration.averageMs).toBe(Math.floor(expected.reduce((sum, ms) => sum + ms, 0) / expected.length));
    for (const [share, ms] of [
      [0.5, duration.p50Ms] as const,
      [0.95, duration.p95Ms] as const,
      [0.99, duration.p99Ms] as const,
    ]) {
      const exact = quantile(expected, share);
      // To the millisecond below; a sketch is as good as its error above.
      expect(Math.abs((ms as number) - exact)).toBeLessThanOrEqual(1 + exact * QUANTILE_ERROR);
    }
  }
}

describe('every projection', () => {
  it('says what a plain recount says, however the events are cut into batches', async () => {
    const cases = fc.tuple(histories(30), fc.integer({ min: 1, max: 40 }));
    await fc.assert(
      fc.asyncProperty(cases, async ([events, batchEvents]) => {
        await database.empty();
        await count(events, batchEvents);
        await expectRecounted(events);
      }),
      { numRuns: 15 },
    );
  });

  it('is of many events what it is of few', async () => {
    const events = someHistories(2_000, 20);
    await count(events, 500);
    await expectRecounted(events);
  });

  it('counts into another schema what it counts into its own, with the same totals, and touches nothing else', async () => {
    const events = [...someHistories(200, 21), at('2999-01-01T00:00:00.000Z', placed('EUR', 1))];
    await count(events, 50);
    const live = await summary();
    await database.pool.query('create schema shadow');
    try {
      for (const table of PROJECTIONS.flatMap(({ tables }) => tables))
        await database.pool.query(`create table shadow.${table} (like public.${table} including all)`);
      await count(events, 70, 'shadow');
      expect(await summary()).toEqual(live);
      for (const projection of PROJECTIONS) {
        const [own, shadow] = await Promise.all(
          ['public', 'shadow'].map((schema) =>
            transaction(database.pool, async (client) => {
              await client.query(`set local search_path = ${schema}`);
              return projection.totals(client);
            }),
          ),
        );
        expect([projection.name, shadow]).toEqual([projection.name, own]);
        expect(Object.values(own?.sums ?? {}).filter((sum) => sum > 0n)).not.toEqual([]);
      }
    } finally {
      await database.pool.query('drop schema shadow cascade');
    }
  });

  it('has a summary of the hours of a range and of one currency, by the time of the events', async () => {
    const events = someHistories(300, 22);
    await count(events, 50);
    for (const range of [
      { from: '2026-01-01T05:00:00.000Z', to: '2026-01-03T07:00:00.000Z' },
      { from: '2026-01-01T00:00:00.000Z', to: '2026-01-02T00:00:00.000Z' },
      { from: '2026-01-01T09:00:00.000Z', to: '2026-01-01T10:00:00.000Z' },
    ]) {
      const within = events.filter(({ at }) => at.toISOString() >= range.from && at.toISOString() < range.to);
      const { orders, revenue: all } = recount(within);
      for (const currency of [undefined, 'EUR'] as const) {
        const revenue = all.filter((row) => currency === undefined || row.currency === currency);
        const asked = await counted(queries().summary({ ...range, currency, waitMsMax }, Infinity));
        expect(asked.summary).toMatchObject({ ...range, orders, revenue });
        expect(asked.summary.refunds).toBeUndefined();
      }
    }
    const { revenue, refunds } = recount(events);
    const { summary } = await counted(queries().summary({ currency: 'EUR', waitMsMax }, Infinity));
    const euros = (rows: { currency: string }[] = []) => rows.filter(({ currency }) => currency === 'EUR');
    expect([summary.revenue, summary.refunds]).toEqual([euros(revenue), euros(refunds)]);
  });

  it('has a name of its own, and tables that no other has', () => {
    const names = PROJECTIONS.map(({ name }) => name);
    const tables = PROJECTIONS.flatMap((projection) => projection.tables);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(tables).size).toBe(tables.length);
  });
});

describe('rates', () => {
  const MINUTE = '2026-01-05T12:00';
  /** One order, then an event that is dated far in the future, then one order a second, all in one partition. */
  const times = ['2999-01-01T00:00:00.000Z', ...Array.from({ length: 9 }, (_, n) => `${MINUTE}:0${n + 1}.000Z`)];
  const orderId = randomUUID();
  const events = [`${MINUTE}:00.000Z`, ...times].map((time) => at(time, placed('EUR', 1), orderId));

  it('go on after an event that is dated in the future, which counts nothing before its time', async () => {
    for (const batchEvents of [1, 100]) {
      await database.empty();
      await count(events, batchEvents);
      expect((await summary()).rates).toMatchObject({
        asOf: `${MINUTE}:09.000Z`,
        last: [
          { seconds: 10, orders: 10 },
          { seconds: 60, orders: 10 },
        ],
      });
    }
  });

  it('go on after an event of the future alone', async () => {
    await count(events.slice(1, 2), 1);
    expect((await summary()).rates).toMatchObject({ asOf: null, last: [{ orders: 0 }, { orders: 0 }] });
    await count(events.slice(2), 1);
    expect((await summary()).rates).toMatchObject({ asOf: `${MINUTE}:09.000Z`, last: [{ orders: 9 }, { orders: 9 }] });
  });
});

describe('revenue', () => {
  it('counts a late event in the window of its own time', async () => {
    await count([at('2026-01-05T12:00:00.000Z', paid('EUR', 100)), at('2026-01-02T23:59:59.999Z', paid('EUR', 7))], 1);
    expect((await revenue('day')).data.map(({ start, gross }) => [start, gross])).toEqual([
      ['2026-01-02T00:00:00.000Z', 7],
      ['2026-01-05T00:00:00.000Z', 100],
    ]);
  });

  it('has half-open ranges: an event at the end is of the next one', async () => {
    await count([at('2026-01-02T00:00:00.000Z', paid('EUR', 1)), at('2026-01-03T00:00:00.000Z', paid('EUR', 2))], 10);
    const { data } = await revenue('minute', { from: '2026-01-02T00:00:00.000Z', to: '2026-01-03T00:00:00.000Z' });
    expect(data.map(({ gross }) => gross)).toEqual([1]);
  });
});

describe('durations', () => {
  it('of a range that begins and ends within days are those of its hours', async () => {
    const times = [
      '2026-01-01T05:59:59.999Z',
      '2026-01-01T06:00:00.000Z',
      '2026-01-02T12:00:00.000Z',
      '2026-01-03T17:59:59.999Z',
      '2026-01-03T18:00:00.000Z',
    ];
    const events = times.flatMap((time, index) => {
      const placing = new Date(Date.parse(time) - (index + 1) * 1_000).toISOString();
      const order = at(placing, placed('EUR', 1));
      return [order, at(time, paid('EUR', 1), order.orderId)];
    });
    await count(events, 3);
    const range = { from: '2026-01-01T06:00:00.000Z', to: '2026-01-03T18:00:00.000Z' };
    expect((await durations(range)).toPay).toMatchObject({ orders: 3, minMs: 2_000, maxMs: 4_000, averageMs: 3_000 });
  });

  it('are not counted of a payment after the order was cancelled, and never below nothing', async () => {
    const [late, early] = [randomUUID(), randomUUID()];
    await count(
      [
        at('2026-01-01T00:00:00.000Z', placed('EUR', 1), late),
        at('2026-01-01T00:00:01.000Z', cancelled('customer'), late),
        at('2026-01-01T00:00:02.000Z', paid('EUR', 1), late),
        at('2026-01-01T00:00:05.000Z', placed('EUR', 1), early),
        // The clocks of two servers.
        at('2026-01-01T00:00:04.000Z', paid('EUR', 1), early),
      ],
      1,
    );
    expect((await durations()).toPay).toMatchObject({ orders: 1, minMs: 0, p50Ms: 0, maxMs: 0 });
  });

  it('keeps the placing of open orders alone', async () => {
    const [open, gone] = [randomUUID(), randomUUID()];
    const time = '2026-01-01T00:00:00.000Z';
    await count([at(time, placed('EUR', 1), open), at(time, placed('EUR', 1), gone)], 1);
    await count([at(time, shipped(false), open), at(time, shipped(true), gone)], 1);
    const { rows } = await database.pool.query('select order_id from open_orders');
    expect(rows).toEqual([{ order_id: open }]);
  });
});

describe('the funnel', () => {
  it('has rates of the orders placed, and none when there is none', async () => {
    expect((await funnel()).rates).toEqual({ paid: null, shipped: null, delivered: null, cancelled: null });
    const time = '2026-01-01T10:30:00.000Z';
    await count(
      [1, 2, 3].map(() => at(time, placed('EUR', 1))),
      10,
    );
    await count([at(time, paid('EUR', 1)), at(time, paid('EUR', 1)), at(time, cancelled('customer', 'too slow'))], 10);
    const hour = { from: '2026-01-01T10:00:00.000Z', to: '2026-01-01T11:00:00.000Z' };
    expect(await funnel(hour)).toMatchObject({
      rates: { paid: 0.6667, shipped: 0, delivered: 0, cancelled: 0.3333 },
      cancellations: {
        causes: [{ cause: 'customer', orders: 1 }],
        reasons: [{ cause: 'customer', reason: 'too slow', orders: 1 }],
      },
    });
    expect((await funnel({ from: hour.to, to: DAYS.to })).orders.placed).toBe(0);
  });
});

describe('top products and customers', () => {
  it('are the largest of each currency, so many as asked for', async () => {
    const time = '2026-01-01T00:00:00.000Z';
    const order = (currency: 'EUR' | 'JPY', total: number, name: string) =>
      at(time, placed(currency, total, { customerId: name, skus: [name] }));
    await count(
      [order('EUR', 5, 'a'), order('EUR', 9, 'b'), order('EUR', 5, 'c'), order('EUR', 1, 'b'), order('JPY', 1, 'd')],
      2,
    );
    expect((await products(2)).data).toEqual([
      { currency: 'EUR', sku: 'b', orders: 2, quantity: 2, amount: 10 },
      { currency: 'EUR', sku: 'a', orders: 1, quantity: 1, amount: 5 },
      { currency: 'JPY', sku: 'd', orders: 1, quantity: 1, amount: 1 },
    ]);
    expect((await customers(1)).data).toEqual([
      { currency: 'EUR', customerId: 'b', orders: 2, amount: 10 },
      { currency: 'JPY', customerId: 'd', orders: 1, amount: 1 },
    ]);
  });
});

describe('rates', () => {
  it('are of the seconds before the newest event, whenever that was', async () => {
    expect((await summary()).rates).toMatchObject({
      asOf: null,
      last: [
        { seconds: 10, events: 0 },
        { seconds: 60, events: 0 },
      ],
    });
    const second = (n: number) => new Date(Date.parse('2026-01-01T00:00:00.500Z') + n * 1_000).toISOString();
    const events = Array.from({ length: 300 }, (_, n) =>
      at(second(n), n % 3 === 0 ? placed('EUR', 1) : shipped(false)),
    );
    await count(events, 7);
    expect((await summary()).rates).toEqual({
      asOf: '2026-01-01T00:04:59.000Z',
      last: [
        { seconds: 10, events: 10, orders: 3, eventsPerSecond: 1, ordersPerSecond: 0.3 },
        { seconds: 60, events: 60, orders: 20, eventsPerSecond: 1, ordersPerSecond: 20 / 60 },
      ],
    });
    // Those of each partition are forgotten that are two minutes older than its newest.
    const { rows } = await database.pool.query('select count(*)::integer as seconds from events_by_second');
    expect(rows[0].seconds).toBeLessThanOrEqual(PARTITIONS * 125);
  });
});
