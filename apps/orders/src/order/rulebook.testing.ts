import type { OrderState } from '@tandem/contracts/order';
import { PlaceOrder, type RefundOrder, type ShipOrder } from '@tandem/contracts/order-commands';
import type { OrderEvent } from '@tandem/contracts/order-events';
import { decide, type Decision, type OrderCommand, type OrderLimits } from './decide.ts';
import { fold, type Recorded } from './order.ts';

export const ORDER_ID = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';
export const AT = '2026-01-01T00:00:00.000Z';

/** Numbers the events of one order as the store would. */
export function recorded(events: readonly OrderEvent[], orderId = ORDER_ID): Recorded[] {
  return events.map((event, index) => ({ ...event, orderId, version: index + 1, at: AT }));
}

/** `given(placed, paid).when(cancel).then(cancelled, refundDue)`, or `.refuses({ code: … })`. */
export function given(...history: OrderEvent[]) {
  const order: OrderState | undefined = fold(recorded(history));
  return {
    order,
    when(command: OrderCommand, limits?: OrderLimits) {
      const decision: Decision = decide(command, order, limits);
      return {
        decision,
        then: (...events: OrderEvent[]) => expect(decision).toEqual({ events }),
        changesNothing: () => expect(decision).toEqual({ events: [] }),
        refuses: (rejection: object) => expect(decision).toEqual({ rejection }),
      };
    },
  };
}

type Command<T extends OrderCommand['type']> = Extract<OrderCommand, { type: T }>;

/** The order of the README, with what a test changes in it. */
export function placing(changes: Record<string, unknown> = {}): Command<'PlaceOrder'> {
  const body = PlaceOrder.parse({
    customerId: 'c-42',
    currency: 'EUR',
    lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }],
    adjustments: [{ kind: 'shipping', amount: 490 }],
    ...changes,
  });
  return { type: 'PlaceOrder', orderId: ORDER_ID, body };
}

export const cancelling = (body: { reason?: string } = {}, ifVersion?: number | number[]): Command<'CancelOrder'> => ({
  type: 'CancelOrder',
  orderId: ORDER_ID,
  body,
  ifVersion,
});
export const shipping = (lines?: ShipOrder['lines'], ifVersion?: number | number[]): Command<'ShipOrder'> => ({
  type: 'ShipOrder',
  orderId: ORDER_ID,
  body: { carrier: 'post', trackingCode: 'RR1', ...(lines === undefined ? {} : { lines }) },
  ifVersion,
});
export const delivering = (ifVersion?: number | number[]): Command<'ConfirmDelivery'> => ({
  type: 'ConfirmDelivery',
  orderId: ORDER_ID,
  body: {},
  ifVersion,
});
export const refunding = (body: RefundOrder = {}, ifVersion?: number | number[]): Command<'RefundOrder'> => ({
  type: 'RefundOrder',
  orderId: ORDER_ID,
  body,
  ifVersion,
});
export const recordingPayment = (
  changes: Partial<Command<'RecordPayment'>['body']> = {},
): Command<'RecordPayment'> => ({
  type: 'RecordPayment',
  orderId: ORDER_ID,
  body: { paymentId: 'p-1', amount: 2990, currency: 'EUR', ...changes },
});
export const recordingDecline = (reason = 'no funds'): Command<'RecordDecline'> => ({
  type: 'RecordDecline',
  orderId: ORDER_ID,
  body: { reason },
});
export const recordingRefund = (changes: Partial<Command<'RecordRefund'>['body']> = {}): Command<'RecordRefund'> => ({
  type: 'RecordRefund',
  orderId: ORDER_ID,
  body: { refundId: 1, amount: 2990, currency: 'EUR', ...changes },
});
export const recordingRefundDecline = (
  changes: Partial<Command<'RecordRefundDecline'>['body']> = {},
): Command<'RecordRefundDecline'> => ({
  type: 'RecordRefundDecline',
  orderId: ORDER_ID,
  body: { refundId: 1, amount: 2990, currency: 'EUR', reason: 'card expired', ...changes },
});
export const closing = (refundId = 1, ifVersion?: number): Command<'CloseRefund'> => ({
  type: 'CloseRefund',
  orderId: ORDER_ID,
  refundId,
  body: { reason: 'bank transfer' },
  ifVersion,
});
export const expiring: Command<'ExpireOrder'> = { type: 'ExpireOrder', orderId: ORDER_ID };

export const placed: OrderEvent = {
  type: 'order.placed.v1',
  data: {
    customerId: 'c-42',
    currency: 'EUR',
    lines: [{ id: 1, sku: 'A-1', quantity: 2, unitPrice: 1250 }],
    adjustments: [{ kind: 'shipping', amount: 490 }],
    total: 2990,
    delivery: 'standard',
    payment: { method: 'card' },
  },
};
export const paid: OrderEvent = {
  type: 'order.payment-recorded.v1',
  data: { paymentId: 'p-1', amount: 2990, currency: 'EUR' },
};
export const declined: OrderEvent = { type: 'order.payment-declined.v1', data: { reason: 'no funds' } };
export const shipped: OrderEvent = {
  type: 'order.shipped.v1',
  data: { shipmentId: 1, carrier: 'post', trackingCode: 'RR1', lines: [{ id: 1, quantity: 2 }], complete: true },
};
export const shippedInPart: OrderEvent = {
  type: 'order.shipped.v1',
  data: { shipmentId: 1, carrier: 'post', trackingCode: 'RR1', lines: [{ id: 1, quantity: 1 }], complete: false },
};
export const shippedRest: OrderEvent = {
  type: 'order.shipped.v1',
  data: { shipmentId: 2, carrier: 'post', trackingCode: 'RR1', lines: [{ id: 1, quantity: 1 }], complete: true },
};
export const delivered: OrderEvent = { type: 'order.delivered.v1', data: {} };
export const cancelled: OrderEvent = { type: 'order.cancelled.v1', data: { cause: 'customer' } };
export const cancelledByDecline: OrderEvent = {
  type: 'order.cancelled.v1',
  data: { cause: 'declined', reason: 'no funds' },
};
export const expired: OrderEvent = { type: 'order.cancelled.v1', data: { cause: 'expired' } };
export const refundDue = (amount: number, refundId = 1, lines?: { id: number; quantity: number }[]): OrderEvent => ({
  type: 'order.refund-requested.v1',
  data: { refundId, amount, currency: 'EUR', ...(lines === undefined ? {} : { lines }) },
});
export const refunded = (amount: number, refundId = 1): OrderEvent => ({
  type: 'order.refund-recorded.v1',
  data: { refundId, amount, currency: 'EUR' },
});
export const refundDeclined = (amount: number, refundId = 1): OrderEvent => ({
  type: 'order.refund-declined.v1',
  data: { refundId, amount, currency: 'EUR', reason: 'card expired' },
});
export const refundClosed = (amount: number, refundId = 1): OrderEvent => ({
  type: 'order.refund-closed.v1',
  data: { refundId, amount, currency: 'EUR', reason: 'bank transfer' },
});
