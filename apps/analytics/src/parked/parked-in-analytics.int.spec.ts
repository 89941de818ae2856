import { hash, randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ParkedMessages } from '@tandem/transports/rabbitmq/parked-messages';
import { AnalyticsDatabase } from '../analytics-database.testing.ts';
import { EventCounter } from '../consumer/event-counter.ts';
import { firstParked } from '../consumer/parking.ts';
import { Partition } from '../consumer/records.testing.ts';
import type { OrderEvent } from '@tandem/contracts/order-events';
import { cancelled, paid, placed } from '../histories.testing.ts';
import { Chain } from '../order-log.testing.ts';
import { PROJECTIONS } from '../projections/projections.ts';
import { ParkedInAnalytics } from './parked-in-analytics.ts';
import { ParkedRecords } from './parked-records.ts';

const TOPIC = 'order.events';
const by = 'somebody';
let database: AnalyticsDatabase;
let parked: ParkedInAnalytics;
let counter: EventCounter;

beforeAll(async () => {
  database = await AnalyticsDatabase.create();
  const url = database.config.RABBITMQ_URL;
  const messages = new ParkedMessages({ pool: database.pool, service: 'analytics', table: 'parked_messages', url });
  parked = new ParkedInAnalytics(new ParkedRecords(database.pool, TOPIC, PROJECTIONS), messages);
  counter = new EventCounter(database.pool, PROJECTIONS, () => undefined);
  const log = new Partition(TOPIC, 0);
  const properties = { headers: {} } as never;
  for (const from of [0n, 1n, 2n]) {
    log.append([{ key: null, value: `record ${from}`, headers: { tag: randomUUID() } }]);
    await counter.startAt(TOPIC, 0, { low: 0n, end: log.end });
    await counter.count(log.batch(from));
    await messages.park({
      queue: 'analytics.queries',
      reason: 'not JSON',
      content: Buffer.from(`message ${from}`),
      properties,
    });
  }
});
afterAll(() => database?.remove());

const texts = async (ids: readonly string[]) =>
  Promise.all(ids.map(async (id) => (await parked.show(id))?.content?.text));

describe('what analytics has parked', () => {
  it('is one list, newest first, of records and of messages under one numbering', async () => {
    const ids: string[] = [];
    for (let more = true; more;) {
      const page = await parked.list({ filter: {}, limit: 2, before: ids.at(-1) });
      expect(page.parked.length).toBeLessThanOrEqual(2);
      ids.push(...page.parked.map(({ id }) => id));
      ({ more } = page);
    }
    expect(await texts(ids)).toEqual(['message 2', 'record 2', 'message 1', 'record 1', 'message 0', 'record 0']);
    const { parked: records } = await parked.list({ filter: { source: TOPIC }, limit: 10 });
    expect(records.map(({ broker, offset }) => [broker, offset])).toEqual([
      ['kafka', '2'],
      ['kafka', '1'],
      ['kafka', '0'],
    ]);
  });

  it('is redriven and dropped wherever it is', async () => {
    const { parked: all } = await parked.list({ filter: {}, limit: 2 });
    const ids = all.map(({ id }) => id);
    const outcomes = await parked.redrive({ ids: [...ids, 'analytics-999'], by });
    expect(outcomes.map(({ id, outcome }) => [id, outcome])).toEqual([
      [ids[0], 'refused'],
      [ids[1], 'refused'],
      ['analytics-999', 'not_found'],
    ]);
    for (const id of ids) {
      expect(await parked.drop({ id, by, reason: 'a test' })).toEqual({ id, outcome: 'done' });
      expect((await parked.show(id))?.acts.map(({ act, outcome }) => [act, outcome])).toEqual([
        ['redrive', 'refused'],
        ['drop', 'done'],
      ]);
    }
    expect((await parked.list({ filter: { state: 'dropped' }, limit: 10 })).parked).toHaveLength(2);
  });
});

const MIB = 1_048_576;
type Records = Parameters<Partition['append']>[0];

/** Counts what a partition of its own holds, from its beginning on; returns what is parked of it, oldest first. */
async function count(log: Partition) {
  await database.pool.query('update consumer_offsets set next_offset = 0 where partition = $1', [log.partition]);
  await counter.startAt(TOPIC, log.partition, { low: 0n, end: log.end });
  await counter.count(log.batch(0n));
  const { parked: all } = await parked.list({ filter: { source: TOPIC }, limit: 100 });
  return all.filter(({ partition }) => partition === log.partition).reverse();
}
let partitions = 0;
const logOf = (...records: Records) => new Partition(TOPIC, (partitions += 1)).append(records);
const nextOffset = async (log: Partition) =>
  (await database.pool.query('select next_offset from consumer_offsets where partition = $1', [log.partition])).rows[0]
    ?.next_offset as bigint;

describe('a record that is not as it should be', () => {
  const id = randomUUID();
  const epoch = randomUUID();
  const historyOf = (...events: OrderEvent[]) =>
    new Chain(1, epoch).records(
      events.map((event, n) => ({ orderId: id, version: n + 1, at: new Date(n), event })),
    ) as unknown as [Records[number], Records[number], ...Records[number][]];
  const history = () => historyOf(placed('EUR', 1), paid('EUR', 1), cancelled('customer'));

  it('is listed, shown, tried again and dropped though its headers hold NUL', async () => {
    const trace = history()[0].headers['traceparent'] ?? '';
    const headers = { 'a\u0000b': '\u0000', tag: '"traceparent":"x"', traceparent: trace };
    const [one, other] = await count(
      logOf(
        { key: '\u0000', value: '\u0000', headers },
        { key: null, value: null, headers: { traceparent: 'a\u0000"b' } },
      ),
    );
    expect(one).toMatchObject({ offset: '0', traceparent: trace });
    expect(other).not.toHaveProperty('traceparent');
    for (const { id } of [one, other] as { id: string }[]) {
      expect(await parked.redrive({ ids: [id], by })).toMatchObject([{ id, outcome: 'refused' }]);
      expect(await parked.drop({ id, by, reason: 'of a stranger' })).toEqual({ id, outcome: 'done' });
    }
    expect(await parked.show(one?.id ?? '')).toMatchObject({ state: 'dropped', headers, content: { text: '\u0000' } });
  });

  it('keeps the first 4 MiB of its value, with length and hash, and is known again when it is read again', async () => {
    const value = Buffer.alloc(5 * MIB, 'a');
    const log = logOf({ key: null, value, headers: {} });
    const [one] = await count(log);
    expect(await parked.show(one?.id ?? '')).toMatchObject({
      content: { bytes: value.length, keptBytes: 4 * MIB, sha256: hash('sha256', value) },
    });
    expect(await count(log)).toEqual([one]);
    value.write('b', value.length - 1);
    const other = new Partition(TOPIC, log.partition).append([{ key: null, value, headers: {} }]);
    expect(await count(other)).toHaveLength(2);
  });

  it('stops nobody though the database refuses its headers, or all that it holds: the others are kept whole', async () => {
    const [first, second, third = first] = history();
    const log = logOf(
      { ...first, value: 'poison' },
      { ...second, headers: { ...second.headers, odd: 'x'.repeat(2_000) } },
      { key: null, value: 'x'.repeat(2_000), headers: {} },
      third,
    );
    await database.pool.query(
      `alter table parked add constraint small check (octet_length(headers::text) < 2000 and octet_length(value) < 2000) not valid`,
    );
    try {
      const rows = await count(log);
      expect(await Promise.all(rows.map((row) => parked.show(row.id)))).toMatchObject([
        { orderId: id, content: { text: 'poison' }, headers: first.headers },
        {
          orderId: id,
          reason: expect.stringContaining('is parked; its headers were not kept: '),
          content: { text: second.value },
          headers: {},
        },
        { reason: expect.stringContaining('; nothing of it was kept: '), content: { bytes: 2_000, keptBytes: 0 } },
        { orderId: id, content: { text: third.value }, headers: third.headers },
      ]);
      expect(await nextOffset(log)).toBe(4n);
      // A second reading of the bare row adds none.
      expect(await count(log)).toHaveLength(rows.length);
    } finally {
      await database.pool.query('alter table parked drop constraint small');
    }
  });

  it('whose position no table can hold is parked, and what follows is counted', async () => {
    const [first] = history();
    const far = { ...first, headers: { ...first.headers, position: '9999999999999999999' } };
    const log = logOf(far, first);
    expect(await count(log)).toMatchObject([{ offset: '0', reason: expect.stringContaining('2^63') }]);
    expect(await nextOffset(log)).toBe(2n);
  });

  it('is listed, 16 of 1 MiB, without reading what they hold', async () => {
    const log = logOf(...Array.from({ length: 16 }, () => ({ key: null, value: Buffer.alloc(MIB), headers: {} })));
    await count(log);
    const reader = database.newPool(1);
    try {
      const records = new ParkedRecords(reader, TOPIC, PROJECTIONS);
      expect((await records.list({ filter: {}, limit: 100 })).parked.length).toBeGreaterThanOrEqual(16);
      const client = await reader.connect();
      client.release();
      const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
      expect(stream.bytesRead).toBeLessThan(65_536);
    } finally {
      await reader.end();
    }
  });

  it('is redriven with no more than 16 MiB of its order at once', async () => {
    const [first, ...later] = historyOf(placed('EUR', 1), ...Array.from({ length: 40 }, () => paid('EUR', 1)));
    const log = logOf({ ...first, value: 'poison' }, ...later);
    await count(log);
    await database.pool.query('update parked set value = $2 where partition = $1', [log.partition, Buffer.alloc(MIB)]);
    const client = await database.pool.connect();
    try {
      expect(await firstParked(client, TOPIC, { partition: log.partition, orderId: id }, 500)).toHaveLength(16);
    } finally {
      client.release();
    }
  });
});
