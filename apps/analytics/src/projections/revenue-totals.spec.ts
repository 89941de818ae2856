import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  paid,
  payments,
  placed,
  refundClosed,
  refundDeclined,
  refunded,
  refundRequested,
} from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './revenue-totals.ts';

const TIME = '2026-01-01T00:00:00.000Z';

describe('the revenue of each currency', () => {
  it('is gross with a payment, not with a placing; a refund counts once it was made, not when it was asked for, declined or closed', () => {
    const events = [
      placed('EUR', 1_000),
      paid('EUR', 1_000),
      refundRequested('EUR', 300),
      refunded('EUR', 250),
      refundDeclined('EUR', 50),
      refundClosed('EUR', 50),
    ];
    expect(fold(events.map((event) => at(TIME, event)))).toEqual(
      new Map([['EUR', { placed: 1, placedAmount: 1_000n, gross: 1_000n, refunded: 250n }]]),
    );
  });

  it('is never mixed', () => {
    const totals = fold([at(TIME, paid('EUR', 5)), at(TIME, paid('JPY', 700)), at(TIME, paid('EUR', 6))]);
    expect([...totals].map(([currency, { gross }]) => [currency, gross])).toEqual([
      ['EUR', 11n],
      ['JPY', 700n],
    ]);
  });

  it('is exact beyond what a number can hold', () => {
    const most = Number.MAX_SAFE_INTEGER;
    const totals = fold([1, 2, 3].map(() => at(TIME, paid('EUR', most))));
    expect(totals.get('EUR')?.gross).toBe(3n * BigInt(most));
  });

  it('is net what was paid less what was given back, to the minor unit, whatever happened and however it was cut', () => {
    fc.assert(
      fc.property(payments, fc.integer({ min: 1, max: 20 }), ({ events, net }, batchEvents) => {
        const found = new Map<string, bigint>();
        for (let start = 0; start < events.length; start += batchEvents)
          for (const [currency, { gross, refunded }] of fold(events.slice(start, start + batchEvents)))
            found.set(currency, (found.get(currency) ?? 0n) + gross - refunded);
        expect(found).toEqual(net);
      }),
    );
  });
});
