import { describe, expect, it } from '@jest/globals';
import { paid, refundClosed, refundDeclined, refunded, refundRequested } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './refunds.ts';

const TIME = '2026-01-01T00:00:00.000Z';

describe('refunds', () => {
  it('are counted when they are asked for and once more when they are made, declined or closed, each with its own amount', () => {
    const asked = [refundRequested('EUR', 300), refundRequested('EUR', 50, 2), refundRequested('EUR', 7, 3)];
    const events = [
      ...asked,
      refunded('EUR', 300),
      refundDeclined('EUR', 50),
      refundDeclined('EUR', 7),
      refundClosed('EUR', 7),
    ];
    expect(fold(events.map((event) => at(TIME, event)))).toEqual(
      new Map([
        [
          'EUR',
          {
            requested: { refunds: 3, amount: 357n },
            recorded: { refunds: 1, amount: 300n },
            declined: { refunds: 2, amount: 57n },
            closed: { refunds: 1, amount: 7n },
          },
        ],
      ]),
    );
  });

  it('are of one currency each, and nothing else is one', () => {
    const events = [refunded('JPY', 7), paid('EUR', 100), refundRequested('USD', 8)];
    expect([...fold(events.map((event) => at(TIME, event))).keys()]).toEqual(['JPY', 'USD']);
  });

  it('are exact beyond what a number can hold', () => {
    const most = Number.MAX_SAFE_INTEGER;
    const sums = fold([at(TIME, refunded('EUR', most)), at(TIME, refunded('EUR', most))]).get('EUR');
    expect(sums?.recorded.amount).toBe(2n * BigInt(most));
  });
});
