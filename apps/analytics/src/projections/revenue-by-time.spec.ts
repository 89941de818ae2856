import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { paid, payments, placed, refunded } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './revenue-by-time.ts';

/** What a batch adds to the gross of each bucket. */
const grossOf = (...events: Parameters<typeof fold>[0]) =>
  Object.fromEntries(fold(events).map(({ bucket, start, sums }) => [`${bucket} ${start}`, sums.gross]));

describe('the revenue by time', () => {
  it('has each event in the minute, the hour and the day of its own time', () => {
    expect(grossOf(at('2026-03-29T01:59:30.500Z', paid('EUR', 7)))).toEqual({
      'minute 2026-03-29T01:59:00.000Z': 7n,
      'hour 2026-03-29T01:00:00.000Z': 7n,
      'day 2026-03-29T00:00:00.000Z': 7n,
    });
  });

  it('has a late event in its own window, whatever came before it', () => {
    const late = at('2026-01-02T23:59:59.999Z', paid('EUR', 7));
    expect(grossOf(at('2026-01-05T12:00:00.000Z', paid('EUR', 100)), late)).toMatchObject({
      'day 2026-01-05T00:00:00.000Z': 100n,
      'minute 2026-01-02T23:59:00.000Z': 7n,
      'hour 2026-01-02T23:00:00.000Z': 7n,
      'day 2026-01-02T00:00:00.000Z': 7n,
    });
  });

  it('has half-open windows: their first moment is theirs, the one after their last is not', () => {
    const times = ['2026-01-01T23:59:59.999Z', '2026-01-02T00:00:00.000Z', '2026-01-02T00:00:59.999Z'];
    expect(grossOf(...times.map((time, index) => at(time, paid('EUR', 10 ** index))))).toEqual({
      'minute 2026-01-01T23:59:00.000Z': 1n,
      'minute 2026-01-02T00:00:00.000Z': 110n,
      'hour 2026-01-01T23:00:00.000Z': 1n,
      'hour 2026-01-02T00:00:00.000Z': 110n,
      'day 2026-01-01T00:00:00.000Z': 1n,
      'day 2026-01-02T00:00:00.000Z': 110n,
    });
  });

  it('has a refund when it was made, not when the order was paid', () => {
    const rows = fold([
      at('2026-01-01T10:00:00.000Z', paid('EUR', 9)),
      at('2026-01-02T10:00:00.000Z', refunded('EUR', 4)),
    ]);
    expect(rows.filter(({ bucket }) => bucket === 'day').map(({ start, sums }) => [start, sums])).toEqual([
      ['2026-01-01T00:00:00.000Z', { placed: 0, placedAmount: 0n, gross: 9n, refunded: 0n }],
      ['2026-01-02T00:00:00.000Z', { placed: 0, placedAmount: 0n, gross: 0n, refunded: 4n }],
    ]);
  });

  it('has currencies apart, and nothing of what moves no money', () => {
    const time = '2026-01-01T10:00:00.000Z';
    const rows = fold([
      at(time, placed('EUR', 3)),
      at(time, placed('JPY', 4)),
      at(time, { type: 'order.delivered.v1', data: {} }),
    ]);
    expect(
      rows.filter(({ bucket }) => bucket === 'day').map(({ currency, sums }) => [currency, sums.placedAmount]),
    ).toEqual([
      ['EUR', 3n],
      ['JPY', 4n],
    ]);
  });

  it('sums up, in buckets of each length, to what was paid less what was given back, to the minor unit', () => {
    fc.assert(
      fc.property(payments, ({ events, net }) => {
        for (const length of ['minute', 'hour', 'day']) {
          const found = new Map<string, bigint>();
          for (const { bucket, currency, sums } of fold(events))
            if (bucket === length) found.set(currency, (found.get(currency) ?? 0n) + sums.gross - sums.refunded);
          expect([length, found]).toEqual([length, net]);
        }
      }),
    );
  });
});
