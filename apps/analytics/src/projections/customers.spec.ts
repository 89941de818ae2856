import { describe, expect, it } from '@jest/globals';
import { cancelled, paid, placed } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './customers.ts';

const TIME = '2026-01-01T00:00:00.000Z';
const ordered = (customerId: string, total: number, currency: 'EUR' | 'JPY' = 'EUR') =>
  placed(currency, total, { customerId });

describe('the customers of a day', () => {
  it('have the totals of what they ordered, each in its currency', () => {
    const events = [ordered('a', 5), ordered('b', 7), ordered('a', 6), ordered('a', 900, 'JPY')];
    expect(fold(events.map((event) => at(TIME, event)))).toMatchObject([
      { customerId: 'a', currency: 'EUR', orders: 2, amount: 11n },
      { customerId: 'b', currency: 'EUR', orders: 1, amount: 7n },
      { customerId: 'a', currency: 'JPY', orders: 1, amount: 900n },
    ]);
  });

  it('keep what they ordered, whatever becomes of it', () => {
    expect(fold([at(TIME, paid('EUR', 5)), at(TIME, cancelled('customer'))])).toEqual([]);
  });

  it('ordered on the day of the placing, in UTC, however late it comes', () => {
    const times = ['2026-01-03T00:00:00.000Z', '2026-01-02T23:59:59.999Z'];
    expect(fold(times.map((time) => at(time, ordered('a', 1)))).map(({ day }) => new Date(day).toISOString())).toEqual([
      '2026-01-03T00:00:00.000Z',
      '2026-01-02T00:00:00.000Z',
    ]);
  });

  it('have sums that are exact beyond what a number can hold', () => {
    const most = Number.MAX_SAFE_INTEGER;
    expect(fold([at(TIME, ordered('a', most)), at(TIME, ordered('a', most))])[0]?.amount).toBe(2n * BigInt(most));
  });
});
