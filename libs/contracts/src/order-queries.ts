import { z } from 'zod';
import { Amount, Currency } from './money.ts';
import { Order, OrderId, OrderStatus, PaymentId, RefundStatus, Version } from './order.ts';
import { OrderEvent } from './order-events.ts';
import { Instant, Position, identifier } from './text.ts';

/** The most that one page may hold. */
export const PAGE_LIMIT_MAX = 100;
const limit = z.int().min(1).max(PAGE_LIMIT_MAX);

/** `order.get` */
export const GetOrder = z.strictObject({ orderId: OrderId });
export type GetOrder = z.infer<typeof GetOrder>;
export const GetOrderReply = z.strictObject({ order: Order.nullable() });
export type GetOrderReply = z.infer<typeof GetOrderReply>;

/** `order.newest-position`: the position of the newest event of all, 0 before the first. */
export const GetNewestPosition = z.strictObject({});
export type GetNewestPosition = z.infer<typeof GetNewestPosition>;
export const GetNewestPositionReply = z.strictObject({ position: Position });
export type GetNewestPositionReply = z.infer<typeof GetNewestPositionReply>;

/** What `order.list` may filter by. `placedFrom` is inclusive, `placedBefore` exclusive, as was the older `placedAfter`. */
export const OrderFilter = z.strictObject({
  customerId: identifier(64).optional(),
  status: OrderStatus.optional(),
  currency: Currency.optional(),
  reference: identifier(64).optional(),
  refundStatus: RefundStatus.optional(),
  placedFrom: Instant.optional(),
  placedAfter: Instant.optional(),
  placedBefore: Instant.optional(),
});
export type OrderFilter = z.infer<typeof OrderFilter>;

/** `order.list`: newest first; `before` is the last id of the page before. A page of large orders holds fewer than `limit`. */
export const ListOrders = z.strictObject({ filter: OrderFilter, limit, before: OrderId.optional() });
export type ListOrders = z.infer<typeof ListOrders>;
export const ListOrdersReply = z.strictObject({ orders: z.array(Order), more: z.boolean() });
export type ListOrdersReply = z.infer<typeof ListOrdersReply>;

const recorded = { position: Position, orderId: OrderId, version: Version, time: Instant };
const recordedEvents = OrderEvent.options.map((option) =>
  z.strictObject({ ...recorded, ...option.shape }).meta({ id: `${option.meta()?.id}Event` }),
);

/** One event of an order's history, as the API shows it. */
export const RecordedEvent = z
  .discriminatedUnion('type', recordedEvents as [(typeof recordedEvents)[number], ...typeof recordedEvents])
  .meta({ id: 'RecordedEvent' });
export type RecordedEvent = z.infer<typeof RecordedEvent>;

/** `order.events`: oldest first, after a version, fewer than `limit` when they are large. `found` is false when there is no such order. */
export const ListOrderEvents = z.strictObject({ orderId: OrderId, afterVersion: z.int().min(0), limit });
export type ListOrderEvents = z.infer<typeof ListOrderEvents>;
export const ListOrderEventsReply = z.strictObject({
  found: z.boolean(),
  events: z.array(RecordedEvent),
  more: z.boolean(),
});
export type ListOrderEventsReply = z.infer<typeof ListOrderEventsReply>;

/** `order.payment-wanted`: whether an order waits for this payment, or for this refund of it. Asked before any money moves. */
export const PaymentWanted = z.strictObject({
  orderId: OrderId,
  amount: Amount,
  currency: Currency,
  refund: z.strictObject({ refundId: z.int().min(1), paymentId: PaymentId }).optional(),
});
export type PaymentWanted = z.infer<typeof PaymentWanted>;
/**
 * Money may move only after `yes`. `no`: the order is settled without it, or closed. `unknown`: there is no such order or refund.
 * `other`: it is of another amount, currency or payment than asked.
 */
export const PaymentWantedReply = z.strictObject({ wanted: z.enum(['yes', 'no', 'unknown', 'other']) });
export type PaymentWantedReply = z.infer<typeof PaymentWantedReply>;
