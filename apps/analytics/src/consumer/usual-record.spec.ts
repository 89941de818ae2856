import { describe, expect, it } from '@jest/globals';
import { EventHeaders } from '@tandem/contracts/event-record';
import { ORDER_EVENT_TYPES, eventDataSchema } from '@tandem/contracts/order-events';
import fc from 'fast-check';
import { histories, someHistories } from '../histories.testing.ts';
import { Chain } from '../order-log.testing.ts';
import { Partition } from './records.testing.ts';
import { isUsualData, usualHeaders } from './usual-record.ts';

/** Whatever may stand in the place of a value: its neighbours at the bounds, and what is of another kind. */
const odd = fc.oneof(
  fc.constantFrom(
    null,
    true,
    -1,
    0,
    1,
    1.5,
    1e6,
    1e6 + 1,
    2 ** 53,
    '',
    ' ',
    'EUR',
    'eur',
    'card',
    [],
    {},
    '\u0000',
    '\ud800',
    'é',
  ),
  fc.string({ unit: 'binary', maxLength: 70 }),
  fc.integer(),
);

/** The value with one thing in it changed, taken out or added, somewhere. */
function altered(value: unknown, where: number, odd: unknown): unknown {
  const places: (() => void)[] = [];
  const copy = structuredClone(value);
  const visit = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return;
    const holder = node as Record<string, unknown>;
    for (const key of Object.keys(holder)) {
      places.push(
        () => (holder[key] = odd),
        () => delete holder[key],
      );
      visit(holder[key]);
    }
    places.push(() => (holder['more'] = odd));
  };
  visit(copy);
  places[where % places.length]?.();
  return JSON.parse(JSON.stringify(copy));
}

describe('what is taken for usual', () => {
  it('is data that the schema takes, and leaves as it is', () => {
    const cases = fc.tuple(
      histories(3),
      fc.array(fc.tuple(fc.nat(), odd), { maxLength: 3 }),
      fc.constantFrom(...ORDER_EVENT_TYPES),
    );
    let taken = 0;
    fc.assert(
      fc.property(cases, ([events, changes, otherType]) => {
        for (const { event } of events) {
          const data = changes.reduce((value: unknown, [where, value2]) => altered(value, where, value2), event.data);
          for (const type of [event.type, otherType]) {
            if (!isUsualData(type, data)) continue;
            taken += 1;
            const parsed = eventDataSchema(type)?.safeParse(data);
            expect([parsed?.success, parsed?.data]).toEqual([true, data]);
          }
        }
      }),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(1_000);
  });

  it('are headers that the schema takes, read in the same way', () => {
    const records = new Chain(1).records(someHistories(10, 30)).slice(0, 5);
    const texts = fc.oneof(
      fc.string({ maxLength: 70 }),
      fc.constantFrom(
        '0',
        '-1',
        '00',
        '1e1',
        '9'.repeat(19),
        '9'.repeat(20),
        '2026-02-30T00:00:00.000Z',
        '2026-02-28T24:00:00.000Z',
        '0000-01-01T00:00:00.000Z',
        '2026-01-01T00:00:00Z',
        '0197C6F0-5B7A-7CC3-9A51-3F1F6F3C2B10',
        '00000000-0000-0000-0000-000000000000',
      ),
    );
    const names = Object.keys(EventHeaders.shape);
    fc.assert(
      fc.property(
        fc.constantFrom(...records),
        fc.array(fc.tuple(fc.constantFrom(...names), fc.option(texts)), { maxLength: 2 }),
        (record, changes) => {
          const headers: Record<string, string> = { ...record.headers };
          for (const [name, text] of changes)
            if (text === null) delete headers[name];
            else headers[name] = text;
          const [written] = new Partition('order.events', 0).append([{ ...record, headers }]).records;
          const usual = usualHeaders(written as NonNullable<typeof written>);
          if (usual === undefined) return;
          expect(EventHeaders.parse(headers)).toMatchObject(usual);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('is everything that the service itself publishes', () => {
    const events = someHistories(200, 31);
    const { records } = new Partition('order.events', 0).append(new Chain(1).records(events));
    expect(records.filter((record) => usualHeaders(record) === undefined)).toEqual([]);
    expect(events.filter(({ event }) => !isUsualData(event.type, event.data))).toEqual([]);
  });
});
