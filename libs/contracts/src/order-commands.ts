import { z } from 'zod';
import { Currency, Amount, totalOf } from './money.ts';
import {
  Adjustment,
  Delivery,
  LineQuantity,
  Order,
  OrderId,
  OrderLine,
  Payment,
  PaymentId,
  Reason,
  Version,
} from './order.ts';
import { Rejection } from './rejections.ts';
import { ORDER_COMMANDS } from './topology.ts';
import { NewMetadata, newIdentifier, newText } from './text.ts';

/** The body of `POST /v1/orders`. Line ids are given by orders, 1, 2, … in the order of the lines. */
export const PlaceOrder = z
  .strictObject({
    customerId: newIdentifier(64),
    currency: Currency,
    lines: z
      .array(
        OrderLine.omit({ id: true })
          .extend({ sku: newIdentifier(64) })
          .meta({ id: 'NewOrderLine' }),
      )
      .min(1)
      .max(100),
    adjustments: z.array(Adjustment).max(20).default([]),
    expectedTotal: Amount.optional().meta({ description: 'The order is refused when its total differs' }),
    delivery: Delivery.default('standard'),
    payment: Payment.default({ method: 'card' }),
    reference: newIdentifier(64, 'Unique per customer').optional(),
    metadata: NewMetadata.optional(),
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
/** As it is sent: orders fills in the defaults. */
export type PlaceOrderSent = z.input<typeof PlaceOrder>;

/** A sum says nothing where one of its parts is wrong already. */
function isWellFormed({ issues }: { issues: readonly unknown[] }): boolean {
  return issues.length === 0;
}

/** Why, in the words of whoever asks. */
const reason = newText(500).optional();

/** The body of `POST /v1/orders/{id}/cancel`. */
export const CancelOrder = z.strictObject({ reason }).meta({ id: 'CancelOrder' });
export type CancelOrder = z.infer<typeof CancelOrder>;

/** Some or all of an order's lines, each named once. */
const LineQuantities = z
  .array(LineQuantity)
  .min(1)
  .max(100)
  .refine((lines) => new Set(lines.map(({ id }) => id)).size === lines.length, 'name a line twice');

/** The body of `POST /v1/orders/{id}/ship`. */
export const ShipOrder = z
  .strictObject({
    carrier: newIdentifier(64),
    trackingCode: newIdentifier(128),
    lines: LineQuantities.optional().meta({ description: 'What this shipment holds; all that remains when left out' }),
  })
  .meta({ id: 'ShipOrder' });
export type ShipOrder = z.infer<typeof ShipOrder>;

/** The body of `POST /v1/orders/{id}/deliver`. */
export const ConfirmDelivery = z.strictObject({}).meta({ id: 'ConfirmDelivery' });
export type ConfirmDelivery = z.infer<typeof ConfirmDelivery>;

/** The body of `POST /v1/orders/{id}/refund`. */
export const RefundOrder = z
  .strictObject({
    amount: z
      .int()
      .min(1)
      .optional()
      .meta({ description: 'Minor units; all that remains when lines are left out, too' }),
    lines: LineQuantities.optional().meta({
      description: 'Refunded with their share of the adjustments; not together with an amount',
    }),
    reason,
  })
  .refine(({ amount, lines }) => amount === undefined || lines === undefined, {
    path: ['lines'],
    error: 'cannot be given together with an amount',
  })
  .meta({ id: 'RefundOrder' });
export type RefundOrder = z.infer<typeof RefundOrder>;

export const RefundId = z.int().min(1).max(1_000_000);

/** The body of `POST /v1/orders/{id}/refunds/{refundId}/close`. */
export const CloseRefund = z.strictObject({ reason: reason.unwrap() }).meta({ id: 'CloseRefund' });
export type CloseRefund = z.infer<typeof CloseRefund>;

// What payments reports happened elsewhere: its text is that of the provider, and is not refused.

/** The provider took the money: all of the order's total, in its currency. */
export const RecordPayment = z.strictObject({ paymentId: PaymentId, amount: Amount, currency: Currency });
export type RecordPayment = z.infer<typeof RecordPayment>;

/** The provider said no. */
export const RecordDecline = z.strictObject({ reason: Reason });
export type RecordDecline = z.infer<typeof RecordDecline>;

/** The provider gave back what `order.refund-requested.v1` of this id asked for. */
export const RecordRefund = z.strictObject({ refundId: z.int().min(1), amount: Amount, currency: Currency });
export type RecordRefund = z.infer<typeof RecordRefund>;

/** The provider refused to give back what `order.refund-requested.v1` of this id asked for. */
export const RecordRefundDecline = RecordRefund.extend({ reason: Reason });
export type RecordRefundDecline = z.infer<typeof RecordRefundDecline>;

/**
 * Names one command for ever: a command that is sent again with the id of an earlier one gets the earlier one's answer.
 * The gateway makes it from subject, operation, target order and `Idempotency-Key`; other clients may use any UUID, in letters
 * of either case.
 */
export const CommandId = z.uuid().toLowerCase();

/** The most versions that one condition may name. */
export const VERSIONS_MAX = 100;

const addressed = { commandId: CommandId, orderId: OrderId };
const Versions = z.array(Version).max(VERSIONS_MAX);
const conditional = {
  ...addressed,
  /** Refuses the command when the order has another version than this, or than all of these. */
  ifVersion: z.union([Version, Versions]).optional(),
  /** Refuses it when the order has one of these. */
  unlessVersion: Versions.optional(),
};
/** What a command requires of the order's version. */
export type VersionConditions = Pick<CancelOrderMessage, 'ifVersion' | 'unlessVersion'>;

// What travels over RabbitMQ, by the patterns of ORDER_COMMANDS. What payments reports has no version to hold on to: the money
// has moved, whatever has become of the order.

/** `order.place` */
export const PlaceOrderMessage = z.strictObject({ commandId: CommandId, body: PlaceOrder });
export type PlaceOrderMessage = z.infer<typeof PlaceOrderMessage>;
/** `order.cancel` */
export const CancelOrderMessage = z.strictObject({ ...conditional, body: CancelOrder });
export type CancelOrderMessage = z.infer<typeof CancelOrderMessage>;
/** `order.ship` */
export const ShipOrderMessage = z.strictObject({ ...conditional, body: ShipOrder });
export type ShipOrderMessage = z.infer<typeof ShipOrderMessage>;
/** `order.deliver` */
export const ConfirmDeliveryMessage = z.strictObject({ ...conditional, body: ConfirmDelivery });
export type ConfirmDeliveryMessage = z.infer<typeof ConfirmDeliveryMessage>;
/** `order.refund` */
export const RefundOrderMessage = z.strictObject({ ...conditional, body: RefundOrder });
export type RefundOrderMessage = z.infer<typeof RefundOrderMessage>;
/** `order.close-refund` */
export const CloseRefundMessage = z.strictObject({ ...conditional, refundId: RefundId, body: CloseRefund });
export type CloseRefundMessage = z.infer<typeof CloseRefundMessage>;
/** `order.record-payment` */
export const RecordPaymentMessage = z.strictObject({ ...addressed, body: RecordPayment });
export type RecordPaymentMessage = z.infer<typeof RecordPaymentMessage>;
/** `order.record-decline` */
export const RecordDeclineMessage = z.strictObject({ ...addressed, body: RecordDecline });
export type RecordDeclineMessage = z.infer<typeof RecordDeclineMessage>;
/** `order.record-refund` */
export const RecordRefundMessage = z.strictObject({ ...addressed, body: RecordRefund });
export type RecordRefundMessage = z.infer<typeof RecordRefundMessage>;
/** `order.record-refund-decline` */
export const RecordRefundDeclineMessage = z.strictObject({ ...addressed, body: RecordRefundDecline });
export type RecordRefundDeclineMessage = z.infer<typeof RecordRefundDeclineMessage>;

/** The answer to every command. `replayed` says that the command had been decided before. */
export const CommandReply = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('accepted'), order: Order, replayed: z.boolean() }),
  z.strictObject({ outcome: z.literal('rejected'), rejection: Rejection, replayed: z.boolean() }),
]);
export type CommandReply = z.infer<typeof CommandReply>;

const repeated = <P extends string, M extends z.ZodType>(pattern: P, message: M) =>
  z.strictObject({ pattern: z.literal(pattern), message });

/** `order.outcome`: what this command was answered, if it was decided before. It is not carried out. */
export const FindOutcome = z.discriminatedUnion('pattern', [
  repeated(ORDER_COMMANDS.place, PlaceOrderMessage),
  repeated(ORDER_COMMANDS.cancel, CancelOrderMessage),
  repeated(ORDER_COMMANDS.ship, ShipOrderMessage),
  repeated(ORDER_COMMANDS.deliver, ConfirmDeliveryMessage),
  repeated(ORDER_COMMANDS.refund, RefundOrderMessage),
  repeated(ORDER_COMMANDS.closeRefund, CloseRefundMessage),
]);
export type FindOutcome = z.infer<typeof FindOutcome>;
export const FindOutcomeReply = z.strictObject({ reply: CommandReply.nullable() });
export type FindOutcomeReply = z.infer<typeof FindOutcomeReply>;
