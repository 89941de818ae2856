import { z } from 'zod';
import { Currency, Amount, totalOf } from './money.ts';
import { Adjustment, Delivery, Order, OrderId, OrderLine, Payment, Reason, Version } from './order.ts';
import { Rejection } from './rejections.ts';
import { Metadata, identifier } from './text.ts';

/** The body of `POST /v1/orders`. Line ids are given by orders, 1, 2, … in the order of the lines. */
export const PlaceOrder = z
  .strictObject({
    customerId: identifier(64),
    currency: Currency,
    lines: z
      .array(OrderLine.omit({ id: true }).meta({ id: 'NewOrderLine' }))
      .min(1)
      .max(100),
    adjustments: z.array(Adjustment).max(20).default([]),
    expectedTotal: Amount.optional().meta({ description: 'The order is refused when its total differs' }),
    delivery: Delivery.default('standard'),
    payment: Payment.default({ method: 'card' }),
    reference: identifier(64).optional().meta({ description: 'Unique per customer' }),
    metadata: Metadata.optional(),
  })
  .refine((order) => totalOf(order) <= BigInt(Number.MAX_SAFE_INTEGER), {
    path: ['lines'],
    when: isWellFormed,
    error: ({ input }) =>
      `add up to ${totalOf(input as Parameters<typeof totalOf>[0])}, more than 2^53 − 1 minor units`,
  })
  .refine((order) => totalOf(order) >= 0n, {
    path: ['adjustments'],
    when: isWellFormed,
    error: ({ input }) => `leave a total of ${totalOf(input as Parameters<typeof totalOf>[0])}, below zero`,
  })
  .meta({ id: 'PlaceOrder' });
export type PlaceOrder = z.infer<typeof PlaceOrder>;

/** A sum says nothing where one of its parts is wrong already. */
function isWellFormed({ issues }: { issues: readonly unknown[] }): boolean {
  return issues.length === 0;
}

/** The body of `POST /v1/orders/{id}/cancel`. */
export const CancelOrder = z.strictObject({ reason: Reason.optional() }).meta({ id: 'CancelOrder' });
export type CancelOrder = z.infer<typeof CancelOrder>;

/**
 * Names one command for ever: a command that is sent again with the id of an earlier one gets the earlier one's answer.
 * The gateway makes it from subject, operation, target order and `Idempotency-Key`; other clients may use any UUID, in letters
 * of either case.
 */
export const CommandId = z.uuid().toLowerCase();

/** What `order.place` carries over RabbitMQ. */
export const PlaceOrderMessage = z.strictObject({ commandId: CommandId, body: PlaceOrder });
export type PlaceOrderMessage = z.infer<typeof PlaceOrderMessage>;

/** What `order.cancel` carries over RabbitMQ; `ifVersion` refuses the command when the order has moved on. */
export const CancelOrderMessage = z.strictObject({
  commandId: CommandId,
  orderId: OrderId,
  ifVersion: Version.optional(),
  body: CancelOrder,
});
export type CancelOrderMessage = z.infer<typeof CancelOrderMessage>;

/** The answer to every command. `replayed` says that the command had been decided before. */
export const CommandReply = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('accepted'), order: Order, replayed: z.boolean() }),
  z.strictObject({ outcome: z.literal('rejected'), rejection: Rejection, replayed: z.boolean() }),
]);
export type CommandReply = z.infer<typeof CommandReply>;
