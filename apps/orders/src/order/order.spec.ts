import { describe, expect, it } from '@jest/globals';
import { OrderState } from '@tandem/contracts/order';
import { PlaceOrder } from '@tandem/contracts/order-commands';
import type { OrderEvent } from '@tandem/contracts/order-events';
import { totalOf } from '@tandem/contracts/money';
import fc from 'fast-check';
import { decide } from './decide.ts';
import { evolve, fold } from './order.ts';
import {
  ORDER_ID,
  cancelled,
  cancelling,
  delivered,
  given,
  paid,
  placed,
  recorded,
  refundDue,
  shipped,
  shippedInPart,
} from './rulebook.testing.ts';

const declined: OrderEvent = { type: 'order.payment-declined.v1', data: { reason: 'no funds' } };
const refunded: OrderEvent = { type: 'order.refund-recorded.v1', data: { refundId: 1, amount: 2990, currency: 'EUR' } };

describe('an order', () => {
  it('goes from placed over paid and shipped to delivered', () => {
    expect(given(placed).order?.status).toBe('placed');
    expect(given(placed, paid).order?.status).toBe('paid');
    expect(given(placed, paid, shippedInPart).order?.status).toBe('paid');
    expect(given(placed, paid, shipped).order?.status).toBe('shipped');
    expect(given(placed, paid, shipped, delivered).order?.status).toBe('delivered');
  });

  it('that is cancelled after its payment keeps what was paid and what is refunded', () => {
    const { order } = given(placed, paid, cancelled, refundDue(2990), refunded);
    expect(order).toMatchObject({ status: 'cancelled', paid: { amount: 2990 } });
    expect(order).toMatchObject({ refunds: [{ id: 1, amount: 2990, recordedAt: expect.any(String) }] });
  });

  it('that was cancelled stays cancelled when its payment comes late', () => {
    expect(given(placed, cancelled, paid).order).toMatchObject({ status: 'cancelled', paid: { paymentId: 'p-1' } });
  });

  it('counts every event as a version, whatever the events are, and is always a valid state', () => {
    const any = fc.constantFrom(
      placed,
      paid,
      declined,
      shippedInPart,
      shipped,
      delivered,
      cancelled,
      refundDue(10),
      refunded,
    );
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (events) => {
        const order = fold(recorded([placed, ...events]));
        expect(order?.version).toBe(events.length + 1);
        expect(OrderState.safeParse(order).error).toBeUndefined();
      }),
    );
  });

  it('reads back from JSON as it was', () => {
    const any = fc.constantFrom(paid, shipped, delivered, cancelled, refundDue(10));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 8 }), (events) => {
        const order = fold(recorded([placed, ...events]));
        expect(JSON.parse(JSON.stringify(order))).toStrictEqual(order);
      }),
    );
  });
});

const anyBody = fc.record(
  {
    customerId: fc.stringMatching(/^[a-z0-9-]{1,20}$/),
    currency: fc.constantFrom('EUR', 'JPY', 'KWD'),
    lines: fc.array(
      fc.record({
        sku: fc.stringMatching(/^[A-Z0-9-]{1,10}$/),
        quantity: fc.integer({ min: 1, max: 1_000_000 }),
        unitPrice: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      }),
      { minLength: 1, maxLength: 100 },
    ),
    adjustments: fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('discount'), amount: fc.integer({ min: -1_000_000, max: 0 }) }),
        fc.record({ kind: fc.constantFrom('tax', 'shipping'), amount: fc.maxSafeNat() }),
      ),
      { maxLength: 20 },
    ),
    reference: fc.stringMatching(/^[a-z]{1,10}$/),
  },
  { requiredKeys: ['customerId', 'currency', 'lines'] },
);

describe('any order that the contract lets in', () => {
  it('is placed with a total that is the exact sum of its lines and adjustments', () => {
    fc.assert(
      fc.property(anyBody, (input) => {
        const parsed = PlaceOrder.safeParse(input);
        const total = totalOf({ lines: input.lines, adjustments: input.adjustments ?? [] });
        expect(parsed.success).toBe(total >= 0n && total <= BigInt(Number.MAX_SAFE_INTEGER));
        if (!parsed.success) return;
        const decision = decide({ type: 'PlaceOrder', orderId: ORDER_ID, body: parsed.data }, undefined);
        const order = 'events' in decision ? fold(recorded(decision.events)) : undefined;
        expect(BigInt(order?.total ?? -1)).toBe(total);
      }),
    );
  });

  it('can be cancelled once, by whatever sequence of cancellations', () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }), { maxLength: 6 }),
        (versions) => {
          let order = fold(recorded([placed]));
          let accepted = 0;
          for (const ifVersion of versions) {
            const decision = decide(cancelling({}, ifVersion), order);
            if ('rejection' in decision) continue;
            accepted += 1;
            for (const event of decision.events)
              order = evolve(order, {
                ...event,
                orderId: ORDER_ID,
                version: (order?.version ?? 0) + 1,
                at: order?.placedAt ?? '',
              });
          }
          expect(accepted).toBeLessThanOrEqual(1);
          expect(order?.status).toBe(accepted === 1 ? 'cancelled' : 'placed');
        },
      ),
    );
  });
});
