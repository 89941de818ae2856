import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AnalyticsDatabase } from '../analytics-database.testing.ts';
import { cancelled, histories, paid, placed, shipped } from '../histories.testing.ts';
import { Chain, type TestEvent } from '../order-log.testing.ts';
import { orderCounts } from '../projections/order-counts.ts';
import type { Projection } from '../projections/projection.ts';
import { PROJECTIONS } from '../projections/projections.ts';
import { ParkedRecords } from '../parked/parked-records.ts';
import { recount } from '../recount.testing.ts';
import { EventCounter } from './event-counter.ts';
import { parkedKeys } from './parking.ts';
import { Partition } from './records.testing.ts';
import { redrive, REDRIVEN_AT_ONCE_MAX } from './redrive.ts';

const TOPIC = 'order.events';
let database: AnalyticsDatabase;
let counter: EventCounter;

beforeAll(async () => {
  database = await AnalyticsDatabase.create();
  counter = new EventCounter(database.pool, PROJECTIONS, () => undefined);
});
beforeEach(() => database.empty());
afterAll(() => database?.remove());

const AT = Date.parse('2026-01-01T00:00:00.000Z');
const historyOf = (orderId: string, events: readonly TestEvent['event'][]): TestEvent[] =>
  events.map((event, index) => ({ orderId, version: index + 1, at: new Date(AT + index * 1_000), event }));

async function summary() {
  const queries = database.queries();
  const reply = await queries.summary({ waitMsMax: 0 }, Infinity);
  if (reply.outcome !== 'counted') throw new Error(`The summary is ${reply.outcome}.`);
  return reply.summary;
}
async function expectCounted(events: readonly TestEvent[], parked: number): Promise<void> {
  const { orders, revenue } = recount(events);
  expect(await summary()).toMatchObject({ orders, revenue, parked });
}

/** One partition, of whose records some have lost their values. */
function logOf(events: readonly TestEvent[], broken: readonly number[], chain = new Chain(1)): Partition {
  const records = chain.records(events);
  for (const index of broken) (records[index] as { value: string }).value = 'poison';
  return new Partition(TOPIC, 0).append(records);
}
async function count(log: Partition, from = 0n): Promise<void> {
  await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
  await counter.count(log.batch(from));
}
/** What an operator does who knows what was meant. */
const mend = ({ orderId, version, event }: TestEvent) =>
  database.pool.query(`update parked set value = $3 where order_id = $1 and headers ->> 'version' = $2`, [
    orderId,
    String(version),
    Buffer.from(JSON.stringify(event.data)),
  ]);
const acting = { by: 'somebody' };
const redriveOrder = async (orderId: string) => {
  const keys = await parkedKeys(database.pool, TOPIC, orderId);
  return Promise.all(keys.map((key) => redrive(database.pool, TOPIC, key, PROJECTIONS, acting)));
};

describe('redriving', () => {
  const mine = historyOf(crypto.randomUUID(), [placed('EUR', 100), paid('EUR', 100), shipped(false), shipped(true)]);
  const other = historyOf(crypto.randomUUID(), [placed('EUR', 7), cancelled('customer')]);
  const [first, second] = mine as [TestEvent, TestEvent];

  it('counts what waits of an order once the first of it can be read, and leaves others where they are', async () => {
    const log = logOf([...mine, ...other], [1, 4]);
    await count(log);
    await expectCounted([first], 5);
    await mend(second);
    expect(await redriveOrder(first.orderId)).toEqual([{ counted: 3, left: 0, reason: undefined }]);
    await expectCounted(mine, 2);
    expect(await parkedKeys(database.pool, TOPIC)).toEqual([{ partition: 0, orderId: other[0]?.orderId }]);
  });

  it('counts up to the first record that still cannot be read, which then says why', async () => {
    const log = logOf(mine, [0, 2]);
    await count(log);
    await mend(first);
    const [outcome] = await redriveOrder(first.orderId);
    expect(outcome).toMatchObject({ counted: 2, left: 2, reason: expect.stringContaining('not JSON') });
    await expectCounted(mine.slice(0, 2), 2);
    const { rows } = await database.pool.query('select cause, reason from parked order by id');
    expect(rows[0]).toEqual({ cause: 'unreadable', reason: outcome?.reason });
    expect(rows[1]).toMatchObject({ cause: 'behind' });
  });

  it('changes nothing while the first record cannot be read', async () => {
    await count(logOf(mine, [0]));
    expect(await redriveOrder(first.orderId)).toMatchObject([{ counted: 0, left: 4 }]);
    await expectCounted([], 4);
  });

  it('lets the consumer count what comes next of the order, and not before', async () => {
    const chain = new Chain(1);
    const log = logOf(mine.slice(0, 2), [0], chain);
    await count(log);
    log.append(chain.records(mine.slice(2, 3)));
    await count(log, 2n);
    await expectCounted([], 3);
    await mend(first);
    await redriveOrder(first.orderId);
    log.append(chain.records(mine.slice(3)));
    await count(log, 3n);
    await expectCounted(mine, 0);
  });

  it('counts each record once, though several redrive the same order while the partition is counted', async () => {
    const history = fc.sample(histories(30), { numRuns: 1, seed: 5 })[0] as TestEvent[];
    const chain = new Chain(1);
    const log = logOf([...mine, ...history], [0], chain);
    await count(log);
    await mend(first);
    const more = historyOf(crypto.randomUUID(), [placed('USD', 3)]);
    const from = log.end;
    log.append(chain.records(more));
    const outcomes = await Promise.all([
      redriveOrder(first.orderId),
      redriveOrder(first.orderId),
      count(log, from).then(() => []),
      redriveOrder(first.orderId),
    ]);
    expect(outcomes.flat().reduce((sum, { counted }) => sum + counted, 0)).toBe(mine.length);
    await expectCounted([...mine, ...history, ...more], 0);
  });

  it('commits nothing of a step that fails', async () => {
    await count(logOf(mine, [0]));
    await mend(first);
    const failing: Projection = { ...orderCounts, apply: () => Promise.reject(new Error('full disk')) };
    const key = { partition: 0, orderId: first.orderId };
    await expect(redrive(database.pool, TOPIC, key, [...PROJECTIONS, failing], acting)).rejects.toThrow('full disk');
    await expectCounted([], 4);
  });

  it('takes a long history in several steps', async () => {
    const payments = Array.from({ length: REDRIVEN_AT_ONCE_MAX + 10 }, () => paid('EUR', 1));
    const long = historyOf(crypto.randomUUID(), [placed('EUR', 1), ...payments]);
    await count(logOf(long, [0]));
    await mend(long[0] as TestEvent);
    expect(await redriveOrder(long[0]?.orderId ?? '')).toEqual([{ counted: long.length, left: 0, reason: undefined }]);
    await expectCounted(long, 0);
  });
});

describe('dropping', () => {
  const mine = historyOf(crypto.randomUUID(), [placed('EUR', 100), paid('EUR', 100), shipped(true)]);
  const records = () => new ParkedRecords(database.pool, TOPIC, PROJECTIONS);
  const ids = async () => (await records().list({ filter: {}, limit: 100 })).parked.map(({ id }) => id).reverse();
  const by = 'somebody';

  it('gives one event of an order up, whose later ones are counted then, in order, without it', async () => {
    await count(logOf(mine, [1]));
    const [second = '', third = ''] = await ids();
    expect(await records().redrive({ ids: [third], by })).toMatchObject([
      { id: third, outcome: 'refused', detail: expect.stringContaining('not JSON') },
    ]);
    expect(await records().drop({ id: second, by, reason: 'lost for good' })).toEqual({ id: second, outcome: 'done' });
    await expectCounted(mine.slice(0, 1), 1);
    expect(await records().redrive({ ids: [third, second], by })).toEqual([
      { id: third, outcome: 'done' },
      { id: second, outcome: 'settled', state: 'dropped' },
    ]);
    await expectCounted([mine[0] as TestEvent, mine[2] as TestEvent], 0);
    expect(await records().show(second)).toMatchObject({
      state: 'dropped',
      content: { text: 'poison' },
      acts: [
        { act: 'redrive', outcome: 'refused', by },
        { act: 'drop', outcome: 'done', by, reason: 'lost for good' },
      ],
    });
    expect((await records().show(third))?.acts).toMatchObject([{ act: 'redrive', outcome: 'done', by }]);
  });

  it('happens once, though several drop and redrive while the partition is counted', async () => {
    const chain = new Chain(1);
    const log = logOf(mine, [0], chain);
    await count(log);
    const more = historyOf(crypto.randomUUID(), [placed('USD', 3)]);
    const from = log.end;
    log.append(chain.records(more));
    const [first = ''] = await ids();
    const drop = { id: first, by, reason: 'rubbish' };
    const [, ...outcomes] = await Promise.all([
      count(log, from),
      records().drop(drop),
      records().drop(drop),
      records()
        .redrive({ ids: [first], by })
        .then(([outcome]) => outcome),
    ]);
    expect(outcomes.filter((outcome) => outcome?.outcome === 'done')).toHaveLength(1);
    const { rows } = await database.pool.query(
      `select parked = (select count(*) from parked p where p.partition = o.partition and settled_as is null) as agrees
         from consumer_offsets o`,
    );
    expect(rows).toEqual([{ agrees: true }]);
  });

  it("of a stranger's record lasts, though a search reads its offset again; another record there is parked", async () => {
    const readable = new Chain(1).records(mine.slice(0, 1));
    const log = new Partition(TOPIC, 0).append(readable);
    const stranger = { key: null, value: '{}', headers: { position: '9' } };
    log.append([stranger]);
    await count(log);
    await expectCounted(mine.slice(0, 1), 1);
    const [id = ''] = await ids();
    expect(await records().redrive({ ids: [id], by })).toMatchObject([{ outcome: 'refused' }]);
    await records().drop({ id, by, reason: 'of a test' });
    const searched = () => database.pool.query('update consumer_offsets set next_offset = 0');
    await searched();
    await count(log);
    await expectCounted(mine.slice(0, 1), 0);
    // In a log that was published anew something else may lie at that offset.
    const anew = new Partition(TOPIC, 0).append(readable).append([{ ...stranger, value: '[]' }]);
    await searched();
    await count(anew);
    await expectCounted(mine.slice(0, 1), 1);
  });
});
