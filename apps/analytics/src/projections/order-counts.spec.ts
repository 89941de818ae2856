import { describe, expect, it } from '@jest/globals';
import { cancelled, delivered, paid, placed, refunded, refundRequested, shipped } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './order-counts.ts';

const TIME = '2026-01-01T00:00:00.000Z';
const none = { placed: 0, paid: 0, shipped: 0, delivered: 0, cancelled: 0 };

describe('the counts of orders', () => {
  it('have an order once in each state that it got to', () => {
    const events = [
      placed('EUR', 1),
      paid('EUR', 1),
      shipped(true),
      delivered(),
      placed('EUR', 1),
      cancelled('customer'),
    ];
    expect(fold(events.map((event) => at(TIME, event)))).toEqual({
      placed: 2,
      paid: 1,
      shipped: 1,
      delivered: 1,
      cancelled: 1,
    });
  });

  it('have an order as shipped with the shipment after which nothing remains', () => {
    expect(fold([at(TIME, shipped(false))])).toEqual(none);
    expect(fold([at(TIME, shipped(false)), at(TIME, shipped(true))])).toEqual({ ...none, shipped: 1 });
  });

  it('are not touched by what changes no state', () => {
    const declined = { type: 'order.payment-declined.v1' as const, data: { reason: 'no funds' } };
    const events = [declined, refundRequested('EUR', 5), refunded('EUR', 5)];
    expect(fold(events.map((event) => at(TIME, event)))).toEqual(none);
  });
});
