import { z } from 'zod';
import { Amount, Currency } from './money.ts';
import {
  Adjustment,
  CancellationCause,
  Carrier,
  Delivery,
  LineQuantity,
  OrderLine,
  Payment,
  PaymentId,
  Reason,
  TrackingCode,
} from './order.ts';
import { Metadata, identifier } from './text.ts';

// The stored event is the published event: these shapes are in the events table and in the log, for ever. They hold ids
// and references, never names or addresses. A change is a new type (`order.placed.v2`) with an upcaster.

export const OrderPlaced = z.strictObject({
  customerId: identifier(64),
  currency: Currency,
  lines: z.array(OrderLine),
  adjustments: z.array(Adjustment),
  total: Amount,
  delivery: Delivery,
  payment: Payment,
  reference: identifier(64).optional(),
  metadata: Metadata.optional(),
});
export const PaymentRecorded = z.strictObject({ paymentId: PaymentId, amount: Amount, currency: Currency });
export const PaymentDeclined = z.strictObject({ reason: Reason });
export const OrderShipped = z.strictObject({
  shipmentId: z.int().min(1),
  carrier: Carrier.optional(),
  trackingCode: TrackingCode.optional(),
  lines: z.array(LineQuantity),
  /** True for the shipment after which nothing remains to be shipped. */
  complete: z.boolean(),
});
export const OrderDelivered = z.strictObject({});
export const OrderCancelled = z.strictObject({ cause: CancellationCause, reason: Reason.optional() });
export const RefundRequested = z.strictObject({
  refundId: z.int().min(1),
  amount: Amount,
  currency: Currency,
  lines: z.array(LineQuantity).optional(),
  reason: Reason.optional(),
});
export const RefundRecorded = z.strictObject({ refundId: z.int().min(1), amount: Amount, currency: Currency });
/** The payment provider refused to give the amount back: it may be asked for again, as another refund. */
export const RefundDeclined = RefundRecorded.extend({ reason: Reason });
/** Somebody settled the refund by hand: nobody is asked for it any more. */
export const RefundClosed = RefundRecorded.extend({ reason: Reason });

/** Everything that can happen to an order, by the CloudEvents `type` under which it is stored and published. */
export const OrderEvent = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('order.placed.v1'), data: OrderPlaced }).meta({ id: 'OrderPlaced' }),
    z
      .strictObject({ type: z.literal('order.payment-recorded.v1'), data: PaymentRecorded })
      .meta({ id: 'PaymentRecorded' }),
    z
      .strictObject({ type: z.literal('order.payment-declined.v1'), data: PaymentDeclined })
      .meta({ id: 'PaymentDeclined' }),
    z.strictObject({ type: z.literal('order.shipped.v1'), data: OrderShipped }).meta({ id: 'OrderShipped' }),
    z.strictObject({ type: z.literal('order.delivered.v1'), data: OrderDelivered }).meta({ id: 'OrderDelivered' }),
    z.strictObject({ type: z.literal('order.cancelled.v1'), data: OrderCancelled }).meta({ id: 'OrderCancelled' }),
    z
      .strictObject({ type: z.literal('order.refund-requested.v1'), data: RefundRequested })
      .meta({ id: 'RefundRequested' }),
    z
      .strictObject({ type: z.literal('order.refund-recorded.v1'), data: RefundRecorded })
      .meta({ id: 'RefundRecorded' }),
    z
      .strictObject({ type: z.literal('order.refund-declined.v1'), data: RefundDeclined })
      .meta({ id: 'RefundDeclined' }),
    z.strictObject({ type: z.literal('order.refund-closed.v1'), data: RefundClosed }).meta({ id: 'RefundClosed' }),
  ])
  .meta({ id: 'OrderEvent' });
export type OrderEvent = z.infer<typeof OrderEvent>;
export type OrderEventType = OrderEvent['type'];

/** The event types of today, oldest stage first. */
export const ORDER_EVENT_TYPES: readonly OrderEventType[] = OrderEvent.options.map((option) => option.shape.type.value);

/** The schema of one event type's data, or undefined for a type that nobody here has heard of. */
export function eventDataSchema(type: string): z.ZodType | undefined {
  return OrderEvent.options.find((option) => option.shape.type.value === type)?.shape.data;
}
