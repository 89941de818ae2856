import { randomUUID } from 'node:crypto';
import type { OrderEvent } from '@tandem/contracts/order-events';
import fc from 'fast-check';
import type { TestEvent } from './order-log.testing.ts';

const START_MS = Date.parse('2026-01-01T00:00:00.000Z');

const amount = fc.integer({ min: 0, max: 10_000_000 });
const currency = fc.constantFrom('EUR', 'USD', 'JPY');

/** What happened to one order, from its placing on. */
export const history = fc
  .record({
    currency,
    amount,
    refund: fc.integer({ min: 0, max: 1_000 }),
    end: fc.constantFrom(
      'placed',
      'declined',
      'cancelled',
      'paid',
      'partly shipped',
      'shipped',
      'delivered',
      'refunded',
      'refund declined',
      'refund closed',
    ),
    customerId: fc.constantFrom('c-1', 'c-2', 'c-3', 'c-4'),
    skus: fc.array(fc.constantFrom('A-1', 'B-2', 'C-3'), { minLength: 1, maxLength: 3 }),
    reason: fc.constantFrom('no funds', 'changed my mind', undefined),
    startMs: fc.integer({ min: 0, max: 600_000 }),
    // Some orders take their time: hours, and over midnight.
    stepMs: fc.oneof(fc.integer({ min: 0, max: 90_000 }), fc.integer({ min: 0, max: 20_000_000 })),
  })
  .map(({ currency, amount, refund, end, customerId, skus, reason, startMs, stepMs }) => {
    const events = [placed(currency, amount, { customerId, skus })];
    const pay = () => events.push(paid(currency, amount));
    const ship = (complete: boolean) => events.push(shipped(complete));
    switch (end) {
      case 'placed':
        break;
      case 'declined':
        events.push({ type: 'order.payment-declined.v1', data: { reason: 'no funds' } }, cancelled('declined', reason));
        break;
      case 'cancelled':
        events.push(cancelled('customer', reason));
        break;
      case 'paid':
        pay();
        break;
      case 'partly shipped':
        pay();
        ship(false);
        break;
      case 'shipped':
        pay();
        ship(false);
        ship(true);
        break;
      case 'delivered':
        pay();
        ship(true);
        events.push(delivered());
        break;
      case 'refunded':
        pay();
        events.push(refundRequested(currency, refund), refunded(currency, refund));
        break;
      case 'refund declined':
        pay();
        events.push(refundRequested(currency, refund), refundDeclined(currency, refund));
        events.push(refundRequested(currency, refund, 2), refunded(currency, refund, 2));
        break;
      case 'refund closed':
        pay();
        events.push(
          refundRequested(currency, refund),
          refundDeclined(currency, refund),
          refundClosed(currency, refund),
        );
        break;
    }
    return { events, startMs, stepMs };
  });

/** Several orders whose events come one by one, each order's in their order. */
export const histories = (ordersMax: number) =>
  fc
    .array(fc.record({ history, tempo: fc.integer({ min: 1, max: 1_000 }) }), { minLength: 1, maxLength: ordersMax })
    .map((orders) =>
      orders
        .flatMap(({ history: { events, startMs, stepMs }, tempo }) => {
          const orderId = randomUUID();
          return events.map((event, index) => {
            const at = new Date(START_MS + startMs + index * stepMs);
            return { turn: index * tempo, order: { orderId, version: index + 1, at, event } satisfies TestEvent };
          });
        })
        .sort((a, b) => a.turn - b.turn)
        .map(({ order }) => order),
    );

/** One list of events of `orders` orders, the same for the same seed but for the ids. */
export function someHistories(orders: number, seed: number): TestEvent[] {
  const batches = fc.sample(histories(20), { numRuns: Math.ceil(orders / 5), seed });
  return batches.flat();
}

/**
 * Payments and refunds of any amounts that a contract takes, at any time and in any order, with what is net of each currency:
 * what was paid less what was given back.
 */
export const payments = fc
  .array(
    fc.record({
      currency,
      paidAmount: fc.maxSafeNat(),
      // Parts of it that are given back, in thousandths of what is left.
      shares: fc.array(fc.integer({ min: 0, max: 1_000 }), { maxLength: 3 }),
      times: fc.array(fc.integer({ min: 0, max: 1_000_000_000 }), { minLength: 4, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 20 },
  )
  .map((orders) => {
    const net = new Map<string, bigint>();
    const events = orders.flatMap(({ currency, paidAmount, shares, times }) => {
      const orderId = randomUUID();
      let left = BigInt(paidAmount);
      const money = [paid(currency, paidAmount)];
      for (const share of shares) {
        const part = (left * BigInt(share)) / 1_000n;
        left -= part;
        money.push(refunded(currency, Number(part)));
      }
      net.set(currency, (net.get(currency) ?? 0n) + left);
      return money.map((event, index) => {
        return { position: 1n, orderId, version: index + 1, at: new Date(START_MS + (times[index] as number)), event };
      });
    });
    return { events: events.sort((a, b) => (a.at < b.at ? -1 : 1)), net };
  });

export const placed = (
  currency: 'EUR' | 'USD' | 'JPY',
  total: number,
  { customerId = 'c-42', skus = ['A-1'] } = {},
): OrderEvent => ({
  type: 'order.placed.v1',
  data: {
    customerId,
    currency,
    lines: skus.map((sku, index) => ({ id: index + 1, sku, quantity: index + 1, unitPrice: total })),
    adjustments: [],
    total,
    delivery: 'standard',
    payment: { method: 'card' },
  },
});

export const paid = (currency: 'EUR' | 'USD' | 'JPY', amount: number): OrderEvent => ({
  type: 'order.payment-recorded.v1',
  data: { paymentId: 'p-1', amount, currency },
});

export const shipped = (complete: boolean): OrderEvent => ({
  type: 'order.shipped.v1',
  data: { shipmentId: complete ? 2 : 1, lines: [{ id: 1, quantity: 1 }], complete },
});

export const cancelled = (cause: 'customer' | 'declined', reason?: string): OrderEvent => ({
  type: 'order.cancelled.v1',
  data: { cause, ...(reason === undefined ? {} : { reason }) },
});

export const delivered = (): OrderEvent => ({ type: 'order.delivered.v1', data: {} });

export const refundRequested = (currency: 'EUR' | 'USD' | 'JPY', amount: number, refundId = 1): OrderEvent => ({
  type: 'order.refund-requested.v1',
  data: { refundId, amount, currency },
});

export const refunded = (currency: 'EUR' | 'USD' | 'JPY', amount: number, refundId = 1): OrderEvent => ({
  type: 'order.refund-recorded.v1',
  data: { refundId, amount, currency },
});

export const refundDeclined = (currency: 'EUR' | 'USD' | 'JPY', amount: number): OrderEvent => ({
  type: 'order.refund-declined.v1',
  data: { refundId: 1, amount, currency, reason: 'card expired' },
});

export const refundClosed = (currency: 'EUR' | 'USD' | 'JPY', amount: number): OrderEvent => ({
  type: 'order.refund-closed.v1',
  data: { refundId: 1, amount, currency, reason: 'bank transfer' },
});
