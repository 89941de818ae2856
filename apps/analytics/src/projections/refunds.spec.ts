import { describe, expect, it } from '@jest/globals';
import { paid, refunded, refundRequested } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './refunds.ts';

const TIME = '2026-01-01T00:00:00.000Z';

describe('refunds', () => {
  it('are counted when they are asked for and once more when they are made, each with its own amount', () => {
    const events = [refundRequested('EUR', 300), refundRequested('EUR', 50), refunded('EUR', 300)];
    expect(fold(events.map((event) => at(TIME, event)))).toEqual(
      new Map([['EUR', { requested: 2, requestedAmount: 350n, recorded: 1, recordedAmount: 300n }]]),
    );
  });

  it('are of one currency each, and nothing else is one', () => {
    const events = [refunded('JPY', 7), paid('EUR', 100), refundRequested('USD', 8)];
    expect([...fold(events.map((event) => at(TIME, event))).keys()]).toEqual(['JPY', 'USD']);
  });

  it('are exact beyond what a number can hold', () => {
    const most = Number.MAX_SAFE_INTEGER;
    const sums = fold([at(TIME, refunded('EUR', most)), at(TIME, refunded('EUR', most))]).get('EUR');
    expect(sums?.recordedAmount).toBe(2n * BigInt(most));
  });
});
