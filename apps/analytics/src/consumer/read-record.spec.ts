import { describe, expect, it } from '@jest/globals';
import { EventVersions } from '@tandem/contracts/event-versions';
import { ORDER_EVENT_TYPES } from '@tandem/contracts/order-events';
import { EVENT_BYTES_MAX } from '@tandem/contracts/topology';
import { someHistories } from '../histories.testing.ts';
import { Chain, type TestRecord } from '../order-log.testing.ts';
import { z } from 'zod';
import { readRecord } from './read-record.ts';
import { Partition } from './records.testing.ts';

const events = someHistories(100, 11);
const records = new Chain(1).records(events);
const second = records[1] as TestRecord;

/** Reads the second event of a log after something of its record was changed. */
const readWith = (change: Partial<Omit<TestRecord, 'headers'>> & { headers?: Record<string, string | undefined> }) => {
  const headers = Object.fromEntries(
    Object.entries({ ...second.headers, ...change.headers }).filter(([, value]) => value !== undefined),
  ) as Record<string, string>;
  const [record] = new Partition('order.events', 0).append([{ ...second, ...change, headers }]).records;
  return readRecord(record as NonNullable<typeof record>);
};

describe('reading a record', () => {
  it('knows every type of event, with its place in the chain', () => {
    const readings = new Partition('order.events', 0).append(records).records.map((record) => readRecord(record));
    const read = readings.map((reading) => (reading.kind === 'event' ? reading.event : undefined));
    expect(read.map((event) => event?.event)).toEqual(events.map(({ event }) => event));
    expect(read.map((event) => event?.at)).toEqual(events.map(({ at }) => at));
    expect(read.map((event) => event?.position)).toEqual(events.map((_, index) => BigInt(index + 1)));
    expect(new Set(read.map((event) => event?.event.type))).toEqual(new Set(ORDER_EVENT_TYPES));
  });

  it('carries an event of a former version to that of today, and parks one that is not even of the former shape', () => {
    const versions = new EventVersions([
      {
        type: 'order.cancelled.draft',
        data: z.strictObject({ by: z.string() }),
        next: 'order.cancelled.v1',
        upcast: ({ by }: { by: string }, { version }) => ({ cause: 'customer', reason: `${by}, version ${version}` }),
      },
    ]);
    const read = (value: string) => {
      const headers = { ...second.headers, ce_type: 'order.cancelled.draft' };
      const [record] = new Partition('order.events', 0).append([{ ...second, headers, value }]).records;
      return readRecord(record as NonNullable<typeof record>, versions);
    };
    expect(read('{"by":"c-42"}')).toMatchObject({
      kind: 'event',
      place: { position: 2n, prev: 1n },
      event: {
        event: {
          type: 'order.cancelled.v1',
          data: { cause: 'customer', reason: `c-42, version ${second.headers['version']}` },
        },
      },
    });
    expect(read('{"cause":"customer"}')).toMatchObject({ kind: 'unreadable', reason: expect.stringMatching(/by/) });
  });

  it('leaves out the fields that a later version has added', () => {
    const { kind, event } = readWith({}) as { kind: string; event: object };
    const later = JSON.stringify({ ...JSON.parse(second.value as string), giftWrap: true });
    expect(readWith({ value: later })).toMatchObject({ kind, event });
  });

  it.each([
    ['a value that is not JSON', { value: '{' }, /not JSON/],
    ['no value', { value: null }, /no value/],
    ['a value past the limit', { value: ' '.repeat(EVENT_BYTES_MAX + 1) }, /more than 262144 bytes/],
    ['data of another shape', { value: '{"total":-1}' }, /not the data of/],
    ['an unknown type', { headers: { ce_type: 'order.eaten.v1' } }, /order\.eaten\.v1 is an unknown type/],
    ['a type that is a name of every object', { headers: { ce_type: 'constructor' } }, /unknown type/],
    ['a time that is none', { headers: { ce_time: 'yesterday' } }, /ce_time/],
    ['a time that PostgreSQL does not know', { headers: { ce_time: '0000-01-01T00:00:00.000Z' } }, /before the year 1/],
    ['no version', { headers: { version: undefined } }, /version/],
  ])('keeps the place of a record with %s', (_what, change, reason) => {
    const reading = readWith(change);
    expect(reading).toMatchObject({
      kind: 'unreadable',
      orderId: second.key,
      place: { position: 2n, prev: 1n },
      reason: expect.stringMatching(reason),
    });
  });

  it('takes the order from the key when the subject cannot be read', () => {
    expect(readWith({ headers: { ce_subject: undefined } })).toMatchObject({ kind: 'unreadable', orderId: second.key });
    expect(readWith({ headers: { ce_subject: '?' }, key: '?' })).toMatchObject({ kind: 'unreadable', orderId: null });
  });

  it.each([
    ['no position', { position: undefined }],
    ['no prev', { prev: undefined }],
    ['no epoch', { epoch: undefined }],
    ['a position that is no number', { position: '2e3' }],
    ['a position that does not come after its prev', { position: '2', prev: '2' }],
    ['both wrong', { position: '1', prev: '2', version: '?' }],
  ])('takes a record with %s for a stranger', (_what, headers) => {
    expect(readWith({ headers })).toMatchObject({ kind: 'foreign' });
  });
});
