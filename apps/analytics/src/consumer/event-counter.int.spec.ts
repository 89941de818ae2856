import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RepositionError } from '@tandem/transports/kafka/reposition-error';
import fc from 'fast-check';
import { AnalyticsDatabase, eventually } from '../analytics-database.testing.ts';
import { Progress } from '../checkpoints/progress.ts';
import { forgetCounted } from '../database.ts';
import { histories, placed, someHistories } from '../histories.testing.ts';
import { Chain, firstOfSeveral, type TestEvent, type TestRecord } from '../order-log.testing.ts';
import { orderCounts } from '../projections/order-counts.ts';
import { OutdatedError } from '../projections/projection-versions.ts';
import type { Projection } from '../projections/projection.ts';
import { PROJECTIONS } from '../projections/projections.ts';
import { recount } from '../recount.testing.ts';
import { EventCounter, PartitionStoppedError } from './event-counter.ts';
import { PARKED_IN_WINDOW_MAX, parkedKeys, type ParkedKey } from './parking.ts';
import { Partition } from './records.testing.ts';
import { drop, redrive } from './redrive.ts';

const TOPIC = 'order.events';
let database: AnalyticsDatabase;
let counter: EventCounter;

beforeAll(async () => {
  database = await AnalyticsDatabase.create();
  counter = new EventCounter(database.pool, PROJECTIONS, () => undefined);
});
beforeEach(() => database.empty());
afterAll(() => database?.remove());

/** Partitions filled as the relay fills them. */
function logOf(records: readonly TestRecord[], partitions = 1): Partition[] {
  const log = Array.from({ length: partitions }, (_, partition) => new Partition(TOPIC, partition));
  for (const record of records) log[record.partition]?.append([record]);
  return log;
}

async function summary() {
  const queries = database.queries();
  const reply = await queries.summary({ waitMsMax: 0 }, Infinity);
  if (reply.outcome !== 'counted') throw new Error(`The summary is ${reply.outcome}.`);
  return reply.summary;
}

async function expectCounted(events: readonly TestEvent[]): Promise<void> {
  const { orders, revenue } = recount(events);
  expect(await summary()).toMatchObject({ orders, revenue });
}

/** What a consumer does: asks where to begin, fetches from there, and begins anew where it is told to. */
async function consume(partition: Partition, batchRecords = 7, counting = counter): Promise<{ fetches: number }> {
  const start = () => counting.startAt(TOPIC, partition.partition, { low: 0n, end: partition.end });
  let next = await start();
  let fetches = 0;
  for (; next < partition.end; fetches += 1) {
    if (fetches > 1_000) throw new Error('The partition is read for ever.');
    const to = next + BigInt(batchRecords) > partition.end ? partition.end : next + BigInt(batchRecords);
    try {
      await counting.count(partition.batch(next, to));
      next = to;
    } catch (error) {
      if (!(error instanceof RepositionError)) throw error;
      next = await start();
    }
  }
  return { fetches };
}

const offsetOf = async (partition: number) => {
  const { rows } = await database.pool.query('select * from consumer_offsets where partition = $1', [partition]);
  return rows[0];
};
const rowsOf = async (text: string) => (await database.pool.query(text)).rows;

describe('counting batches', () => {
  it('counts what a plain recount counts, over all partitions', async () => {
    const events = someHistories(200, 1);
    for (const partition of logOf(new Chain(6).records(events), 6)) await consume(partition, 50);
    await expectCounted(events);
  });

  it('counts the same however often batches are delivered again, and wherever they begin', async () => {
    const schedules = fc.tuple(histories(12), fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 5, maxLength: 15 }));
    await fc.assert(
      fc.asyncProperty(schedules, async ([events, deliveries]) => {
        await database.empty();
        const log = logOf(new Chain(3).records(events), 3);
        for (const partition of log) await counter.startAt(TOPIC, partition.partition, { low: 0n, end: partition.end });
        for (const [at, size] of deliveries) {
          const partition = log[at % log.length] as Partition;
          const { next_offset: next } = await offsetOf(partition.partition);
          const from = next - (BigInt(at) % (next + 1n));
          const to = from + (BigInt(size) % (partition.end - from + 1n));
          await counter.count(partition.batch(from, to));
        }
        for (const partition of log) await consume(partition, 1 + ((deliveries[0]?.[0] ?? 0) % 9));
        await expectCounted(events);
      }),
      { numRuns: 25 },
    );
  });

  it('refuses a batch that begins after the next offset: something in between would be lost', async () => {
    const [log] = logOf(new Chain(1).records(someHistories(10, 1))) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    await expect(counter.count(log.batch(3n))).rejects.toThrow('The batch begins at 3, after the next offset 0');
    expect(await offsetOf(0)).toMatchObject({ next_offset: 0n, mark: 0n, gap_offset: null });
  });

  it('goes over offsets that hold no records', async () => {
    const [log] = logOf(new Chain(1).records(someHistories(10, 1))) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    await counter.count({ ...log.batch(0n), nextOffset: log.end + 2n });
    expect(await offsetOf(0)).toMatchObject({ next_offset: log.end + 2n, mark: log.end });
  });
});

describe('the fence', () => {
  it('lets one of two members with the same batch count it', async () => {
    const events = someHistories(40, 2);
    const [log] = logOf(new Chain(1).records(events)) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    const other = new EventCounter(database.pool, PROJECTIONS, () => undefined);
    await Promise.all([counter, other, counter, other].map((member) => member.count(log.batch(0n))));
    await expectCounted(events);
  });

  it('keeps the totals exact while several members count the same partitions in different steps', async () => {
    const events = someHistories(120, 3);
    const log = logOf(new Chain(3).records(events), 3);
    const members = [3, 7, 11].map((batchRecords) => {
      const member = new EventCounter(database.pool, PROJECTIONS, () => undefined);
      return Promise.all(log.map((partition) => consume(partition, batchRecords, member)));
    });
    await Promise.all(members);
    await expectCounted(events);
  });

  it('keeps a member from committing that has lost its partition meanwhile', async () => {
    const [log] = logOf(new Chain(1).records(someHistories(10, 2))) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    await expect(counter.count(log.batch(0n, log.end, () => true))).rejects.toThrow(RepositionError);
    await expectCounted([]);
    expect(await offsetOf(0)).toMatchObject({ next_offset: 0n, mark: 0n });
  });

  it('commits nothing of a batch whose last statement fails', async () => {
    const [log] = logOf(new Chain(1).records(someHistories(10, 2))) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    const failing: Projection = { ...orderCounts, apply: () => Promise.reject(new Error('full disk')) };
    const unlucky = new EventCounter(database.pool, [...PROJECTIONS, failing], () => undefined);
    await expect(unlucky.count(log.batch(0n))).rejects.toThrow('full disk');
    await expectCounted([]);
    expect(await offsetOf(0)).toMatchObject({ next_offset: 0n, mark: 0n });
  });
});

describe('the fence of versions', () => {
  const rebuilt = (version: number, client: { query: typeof database.pool.query } = database.pool) =>
    client.query(`update projections set version = $1 where name = 'order-counts'`, [version]);
  afterEach(() => rebuilt(orderCounts.version));

  it('keeps older code from counting into what a newer version has rebuilt, and lets newer code go on', async () => {
    const events = someHistories(20, 31);
    const [log] = logOf(new Chain(1).records(events)) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    await counter.count(log.batch(0n, 10n));
    await rebuilt(orderCounts.version + 1);
    await expect(counter.count(log.batch(10n))).rejects.toThrow(OutdatedError);
    await expectCounted(events.slice(0, 10));
    expect(await offsetOf(0)).toMatchObject({ next_offset: 10n });
    const newer = PROJECTIONS.map((each) => (each === orderCounts ? { ...each, version: each.version + 1 } : each));
    await consume(log, 7, new EventCounter(database.pool, newer, () => undefined));
    await expectCounted(events);
  });

  it('sees a swap that older code has waited for with its batch in hand', async () => {
    const events = someHistories(20, 32);
    const [log] = logOf(new Chain(1).records(events)) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    const swap = await database.pool.connect();
    try {
      await swap.query('begin');
      await swap.query('lock table consumer_offsets in exclusive mode');
      const counting = counter.count(log.batch(0n)).catch((error: unknown) => error);
      await eventually(async () => {
        const waiting = await rowsOf(
          `select 1 from pg_locks where relation = 'consumer_offsets'::regclass and not granted`,
        );
        expect(waiting).toHaveLength(1);
      });
      await rebuilt(orderCounts.version + 1, swap);
      await swap.query('commit');
      expect(await counting).toBeInstanceOf(OutdatedError);
    } finally {
      swap.release();
    }
    await expectCounted([]);
    expect(await offsetOf(0)).toMatchObject({ next_offset: 0n, mark: 0n });
  });

  it('keeps older code from redriving', async () => {
    const records = new Chain(1).records(someHistories(20, 33));
    const broken = firstOfSeveral(records, 3);
    broken.value = 'poison';
    await consume(logOf(records)[0] as Partition);
    const [key] = await parkedKeys(database.pool, TOPIC, broken.key as string);
    await rebuilt(orderCounts.version + 1);
    await expect(redrive(database.pool, TOPIC, key as ParkedKey, PROJECTIONS, { by: 'test' })).rejects.toThrow(
      OutdatedError,
    );
  });
});

describe('what operators decided', () => {
  it('holds for a log that is published again: what was dropped stays dropped, what was mended is counted as mended', async () => {
    const events = someHistories(80, 34);
    const chain = new Chain(1);
    const records = chain.records(events);
    const dropped = firstOfSeveral(records, 5);
    const mended = firstOfSeveral(records, 60);
    const waits = firstOfSeveral(records, 110);
    expect(new Set([dropped.key, mended.key, waits.key]).size).toBe(3);
    const poisoned = records.map((record) =>
      [dropped, mended, waits].includes(record) ? { ...record, value: 'poison' } : record,
    );
    await consume(logOf(poisoned)[0] as Partition);
    const [row] = await rowsOf(`select id from parked where position = ${dropped.headers.position}`);
    await drop(database.pool, TOPIC, { partition: 0, row: row.id }, { by: 'test', reason: 'nobody knows what it was' });
    await database.pool.query('update parked set value = $2 where position = $1', [
      mended.headers.position,
      Buffer.from(mended.value as string),
    ]);
    for (const { key } of [dropped, mended])
      for (const each of await parkedKeys(database.pool, TOPIC, key as string))
        await redrive(database.pool, TOPIC, each, PROJECTIONS, { by: 'test' });
    const counted = events.filter(
      (_, index) =>
        records[index] !== dropped && !(records[index]?.key === waits.key && index >= records.indexOf(waits)),
    );
    await expectCounted(counted);
    const acts = await rowsOf('select * from parked_acts order by id');

    await forgetCounted(database.config);
    await expectCounted([]);
    // The mended one is as it was in the old log, and what was dropped can be read now.
    const again = new Chain(1).records(events).map((record, index) => {
      const old = records[index] as TestRecord;
      return old === mended || old === waits ? { ...record, value: 'poison' } : record;
    });
    await consume(logOf(again)[0] as Partition);
    await expectCounted(counted);
    expect(await rowsOf('select * from parked_acts order by id')).toEqual(acts);
    expect(await rowsOf(`select position from parked where settled_as = 'dropped'`)).toEqual([
      { position: BigInt(dropped.headers.position ?? 0) },
    ]);
    expect((await offsetOf(0)).parked).toBe(
      records.filter(({ key }, index) => key === waits.key && index >= records.indexOf(waits)).length,
    );
  });

  it('stays with all that was counted when recover cannot have its locks, and the failure says who holds them', async () => {
    const [log] = logOf(new Chain(1).records(someHistories(5, 37))) as [Partition];
    await consume(log);
    const idle = await database.pool.connect();
    try {
      await idle.query('begin');
      await idle.query('set local idle_in_transaction_session_timeout = 0');
      await idle.query('select * from order_counts');
      const { rows } = await idle.query('select pg_backend_pid() as pid');
      await expect(forgetCounted(database.config)).rejects.toThrow(
        new RegExp(
          `nothing was: .* process ${rows[0].pid} of PostgreSQL \\(analytics.test, .* which holds order_counts`,
        ),
      );
      expect(await offsetOf(0)).toMatchObject({ mark: log.end });
    } finally {
      await idle.query('rollback');
      idle.release();
    }
  }, 60_000);

  it('holds for no other event that a restored database gave the same position', async () => {
    const records = new Chain(1).records(someHistories(20, 35));
    const dropped = firstOfSeveral(records, 3);
    await consume(
      logOf(records.map((record) => (record === dropped ? { ...record, value: 'poison' } : record)))[0] as Partition,
    );
    const [row] = await rowsOf(`select id from parked where position = ${dropped.headers.position}`);
    await drop(database.pool, TOPIC, { partition: 0, row: row.id }, { by: 'test', reason: 'nobody knows what it was' });
    await forgetCounted(database.config);
    const others = someHistories(20, 36);
    await consume(logOf(new Chain(1).records(others))[0] as Partition);
    await expectCounted(others);
  });
});

describe('a batch of which one statement fails while others are still to come', () => {
  /** Says so much later than the others that its transaction could have ended before. */
  const late: Projection = {
    ...orderCounts,
    async apply(client, partition, events) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      await orderCounts.apply(client, partition, events);
    },
  };
  const failing: Projection = { ...orderCounts, apply: async (client) => void (await client.query('select 1 / 0')) };

  it('leaves nothing behind, fails for the reason of the first, and can be counted again', async () => {
    const events = someHistories(10, 2);
    const [log] = logOf(new Chain(1).records(events)) as [Partition];
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    const unlucky = new EventCounter(database.pool, [late, failing], () => undefined);
    await expect(unlucky.count(log.batch(0n))).rejects.toThrow('division by zero');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await expectCounted([]);
    await consume(log);
    await expectCounted(events);
  });
});

describe('a gap', () => {
  it('stops its partition there, whatever comes after it, and the others flow', async () => {
    const events = someHistories(60, 4);
    const records = new Chain(2).records(events);
    const lost = records.findIndex(({ partition }, index) => partition === 0 && index > 20);
    const log = logOf(records.toSpliced(lost, 1), 2);
    for (const partition of log) await consume(partition);
    const counted = records.flatMap(({ partition }, index) =>
      partition === 1 || index < lost ? [events[index] as TestEvent] : [],
    );
    await expectCounted(counted);
    expect(await offsetOf(0)).toMatchObject({ mark: BigInt(records[lost]?.headers['prev'] ?? -1) });
    const problems = await new Progress(database.pool, TOPIC).problems();
    expect(problems).toEqual([expect.stringMatching(/^partition 0 has a gap at offset \d+/)]);
    expect((await offsetOf(1)).gap_offset).toBeNull();
  });

  it('is closed by publishing again what is missing, at the end of the log', async () => {
    const events = someHistories(40, 5);
    const records = new Chain(1).records(events);
    const [log] = logOf(records.toSpliced(10, 2)) as [Partition];
    await consume(log);
    expect((await offsetOf(0)).gap_offset).toBe(10n);
    // One at a time: the search begins anew after each.
    log.append(records.slice(10, 11));
    await consume(log);
    log.append(records.slice(11, 12));
    await consume(log);
    await expectCounted(events);
    expect(await offsetOf(0)).toMatchObject({ gap_offset: null, mark: BigInt(records.length) });
    expect(await new Progress(database.pool, TOPIC).problems()).toEqual([]);
  });

  it('is passed when a log that was rebuilt begins with what came before anybody knew of its loss', async () => {
    const events = someHistories(200, 17);
    const records = new Chain(1).records(events);
    const [log] = logOf([...records.slice(40, 60), ...records]) as [Partition];
    const { fetches } = await consume(log);
    await expectCounted(events);
    expect(await offsetOf(0)).toMatchObject({ gap_offset: null, mark: BigInt(records.length) });
    // Once to find what comes first and all that follows it, and once over again: not once for every batch.
    expect(fetches).toBeLessThan(2 * (Number(log.end) / 7) + 5);
  });

  it('is none when the log was rebuilt and what follows lies before the next offset', async () => {
    const chain = new Chain(1);
    const before = someHistories(30, 6);
    const records = chain.records(before);
    // The old log held everything twice, the new one does not.
    const [old] = logOf([...records, ...records]) as [Partition];
    await consume(old);
    const after = someHistories(200, 7);
    const [rebuilt] = logOf([...records, ...chain.records(after)]) as [Partition];
    expect(rebuilt.end).toBeGreaterThan(old.end);
    const { fetches } = await consume(rebuilt);
    await expectCounted([...before, ...after]);
    expect((await offsetOf(0)).gap_offset).toBeNull();
    // Once from the beginning, not once for every batch.
    expect(fetches).toBeLessThan(Number(rebuilt.end) / 7 + 5);
  });
});

describe('a log that was rebuilt', () => {
  it('is read from its beginning when the next offset lies past its end; what was counted is dropped', async () => {
    const chain = new Chain(1);
    const before = someHistories(30, 8);
    const records = chain.records(before);
    const [old] = logOf([...records, ...records, ...records]) as [Partition];
    await consume(old);
    const after = someHistories(5, 9);
    const [rebuilt] = logOf([...records, ...chain.records(after)]) as [Partition];
    expect(rebuilt.end).toBeLessThan(old.end);
    expect(await counter.startAt(TOPIC, 0, { low: 0n, end: rebuilt.end })).toBe(0n);
    await consume(rebuilt);
    await expectCounted([...before, ...after]);
  });

  it('that begins later than it was counted shows what is missing as a gap', async () => {
    const records = new Chain(1).records(someHistories(10, 8));
    const [log] = logOf(records) as [Partition];
    expect(await counter.startAt(TOPIC, 0, { low: 4n, end: log.end })).toBe(4n);
    await expect(counter.count(log.batch(4n))).rejects.toThrow(RepositionError);
    expect((await offsetOf(0)).gap_offset).toBe(4n);
    await expectCounted([]);
  });

  it('of another epoch stops the consumer', async () => {
    const events = someHistories(10, 8);
    const records = new Chain(1).records(events);
    const [log] = logOf(records) as [Partition];
    await consume(log);
    log.append(new Chain(1).records(someHistories(3, 8)));
    await expect(consume(log)).rejects.toThrow(PartitionStoppedError);
    await expectCounted(events);
    expect((await offsetOf(0)).next_offset).toBe(BigInt(records.length));
  });

  it('is of one epoch in all partitions, whichever is read first', async () => {
    const [first] = logOf(new Chain(1).records(someHistories(10, 8))) as [Partition];
    const second = new Partition(TOPIC, 1).append(new Chain(1).records(someHistories(10, 8)));
    const readers = [first, second].map((partition) => consume(partition));
    const outcomes = (await Promise.allSettled(readers)).map(({ status }) => status).sort();
    expect(outcomes).toEqual(['fulfilled', 'rejected']);
    expect(await rowsOf('select * from logs')).toHaveLength(1);
  });
});

describe('parking', () => {
  const poison = (records: TestRecord[], index: number) =>
    Object.assign(records[index] as TestRecord, { value: 'poison' });

  it('sets a record aside with what follows of its order, as it came; the rest is counted', async () => {
    const events = someHistories(80, 10);
    const records = new Chain(1).records(events);
    const broken = firstOfSeveral(records, 12);
    const place = records.indexOf(broken);
    broken.value = 'poison';
    const [log] = logOf(records) as [Partition];
    await consume(log);
    const isParked = ({ orderId }: TestEvent, index: number) => orderId === broken.key && index >= place;
    const parked = events.filter(isParked);
    await expectCounted(events.filter((event, index) => !isParked(event, index)));
    expect((await summary()).parked).toBe(parked.length);
    const rows = await rowsOf('select * from parked order by id');
    expect(rows.map(({ cause }) => cause)).toEqual(['unreadable', ...parked.slice(1).map(() => 'behind')]);
    expect(rows[0]).toMatchObject({
      partition: 0,
      offset: BigInt(place),
      order_id: broken.key,
      position: BigInt(place + 1),
      type: broken.headers['ce_type'],
      key: broken.key,
      value: Buffer.from('poison'),
      headers: broken.headers,
      logged_at: new Date('2026-01-01T00:00:00.000Z'),
    });
    expect(rows[0].reason).toContain('not JSON');
  });

  it("keeps a stranger's record once, however often its stretch of the log is read", async () => {
    const records = new Chain(1).records(someHistories(10, 11));
    const strangers: { key: string | null; value: string | null; headers: Record<string, string> }[] = [
      { key: 'k', value: 'hello', headers: { a: 'b' } },
      { key: null, value: null, headers: {} },
      { key: 'nul\u0000', value: 'x', headers: { ce_type: 'nul\u0000', odd: '\u0000\ud800' } },
    ];
    const [log] = logOf([]) as [Partition];
    log.append(records.slice(0, 3)).append(strangers).append(records.slice(4));
    await consume(log, 4);
    expect((await offsetOf(0)).gap_offset).not.toBeNull();
    expect((await summary()).parked).toBe(3);
    expect(await rowsOf('select 1 from parked')).toHaveLength(3);
  });

  it('stops the partition past a bound: the reader is wrong then, not the records', async () => {
    const events = someHistories(300, 12);
    const records = new Chain(1).records(events);
    records.forEach((_, index) => index >= 20 && poison(records, index));
    const [log] = logOf(records) as [Partition];
    await expect(consume(log, 500)).rejects.toThrow(/too many records cannot be read/);
    const [{ count }] = await rowsOf("select count(*) from parked where cause = 'unreadable'");
    expect(count).toBe(BigInt(PARKED_IN_WINDOW_MAX));
    expect((await offsetOf(0)).next_offset).toBe(BigInt(20 + PARKED_IN_WINDOW_MAX));
    await expect(consume(log, 500)).rejects.toThrow(/too many records cannot be read/);
    expect((await rowsOf('select 1 from parked')).length).toBe(PARKED_IN_WINDOW_MAX);
  });
});

describe('sums', () => {
  it('past what JSON can say exactly are written out in their row, and the other rows are answered', async () => {
    const large = (): TestEvent => ({
      orderId: crypto.randomUUID(),
      version: 1,
      at: new Date('2026-01-01T00:00:00.000Z'),
      event: {
        type: 'order.payment-recorded.v1',
        data: { paymentId: 'p', amount: Number.MAX_SAFE_INTEGER, currency: 'EUR' },
      },
    });
    const order = { ...large(), event: placed('JPY', 7) };
    const dear = { ...large(), event: placed('EUR', Number.MAX_SAFE_INTEGER) };
    const events = [...Array.from({ length: 3_000 }, large), order, dear, { ...dear, orderId: crypto.randomUUID() }];
    const [log] = logOf(new Chain(1).records(events)) as [Partition];
    await consume(log, 1_000);
    const queries = database.queries();
    const [gross, amount] = [3_000n, 2n].map((times) => String(times * BigInt(Number.MAX_SAFE_INTEGER))) as [
      string,
      string,
    ];
    const money = { placedAmount: null, gross: null, refunded: 0, net: null };
    const euros = { currency: 'EUR', ...money, tooLarge: { placedAmount: amount, gross, net: gross } };
    const yen = { currency: 'JPY', placedAmount: 7, gross: 0, refunded: 0, net: 0 };
    const range = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-02T00:00:00.000Z' };
    const none = { waitMsMax: 0 };
    for (const asked of [none, { ...none, ...range }])
      expect(await queries.summary(asked, Infinity)).toMatchObject({
        summary: { revenue: [{ ...euros, averageOrder: Number.MAX_SAFE_INTEGER }, yen] },
      });
    expect(await queries.summary({ ...none, currency: 'JPY' }, Infinity)).toMatchObject({
      summary: { revenue: [yen] },
    });
    expect(await queries.revenue({ ...range, bucket: 'day', ...none }, Infinity)).toMatchObject({
      revenue: { data: [euros, yen] },
    });
    const top = { ...range, limit: 10, ...none };
    const [sku] = (dear.event.data as { lines: { sku: string }[] }).lines.map((line) => line.sku);
    for (const [kind, row] of [
      ['products', { sku }],
      ['customers', { customerId: (dear.event.data as { customerId: string }).customerId }],
    ] as const)
      expect(await queries[kind](top, Infinity)).toMatchObject({
        [kind]: {
          data: [
            { ...row, currency: 'EUR', amount: null, tooLarge: { amount } },
            { currency: 'JPY', amount: 7 },
          ],
        },
      });
  });
});
