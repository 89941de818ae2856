import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ParkedMessages } from '@tandem/transports/rabbitmq/parked-messages';
import { AnalyticsDatabase } from '../analytics-database.testing.ts';
import { EventCounter } from '../consumer/event-counter.ts';
import { Partition } from '../consumer/records.testing.ts';
import { PROJECTIONS } from '../projections/projections.ts';
import { ParkedInAnalytics } from './parked-in-analytics.ts';
import { ParkedRecords } from './parked-records.ts';

const TOPIC = 'order.events';
const by = 'somebody';
let database: AnalyticsDatabase;
let parked: ParkedInAnalytics;

beforeAll(async () => {
  database = await AnalyticsDatabase.create();
  const url = database.config.RABBITMQ_URL;
  const messages = new ParkedMessages({ pool: database.pool, service: 'analytics', table: 'parked_messages', url });
  parked = new ParkedInAnalytics(new ParkedRecords(database.pool, TOPIC, PROJECTIONS), messages);
  const counter = new EventCounter(database.pool, PROJECTIONS, () => undefined);
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
