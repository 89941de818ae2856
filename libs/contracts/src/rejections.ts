import { z } from 'zod';
import { Amount, Currency } from './money.ts';
import { OrderId, OrderStatus, PaymentId, Version } from './order.ts';
import { text } from './text.ts';

/** The order as the refused command met it. */
const met = { status: OrderStatus, version: Version };
const lineId = z.int().min(1);
const refundId = z.int().min(1);

/** Why a command was refused. A refusal is a value: it is decided, stored with the command, and answered again. */
export const Rejection = z.discriminatedUnion('code', [
  z.strictObject({ code: z.literal('order_not_found'), orderId: OrderId }),
  /** Too late: what is asked for can never be done any more. */
  z.strictObject({ code: z.literal('order_closed'), ...met }),
  /** Too late to be cancelled: a part of the order has gone out, whatever its status says. */
  z.strictObject({ code: z.literal('order_shipped_in_part'), ...met }),
  /** Too early: the order may get there. */
  z.strictObject({ code: z.literal('order_not_ready'), ...met }),
  z.strictObject({ code: z.literal('version_mismatch'), ...met }),
  z.strictObject({ code: z.literal('total_mismatch'), total: Amount }),
  /** The order costs more than this installation takes. */
  z.strictObject({ code: z.literal('total_too_large'), total: Amount, totalMax: Amount }),
  z.strictObject({ code: z.literal('reference_taken'), orderId: OrderId }),
  /** The order has no line of this id. */
  z.strictObject({ code: z.literal('line_unknown'), ...met, lineId }),
  /** More than remains of a line: to be shipped, of what was neither shipped nor refunded; to be refunded, of what was not. */
  z.strictObject({ code: z.literal('line_exceeded'), ...met, lineId, remaining: z.int().min(0) }),
  /** Everything that was not shipped has been asked back. */
  z.strictObject({ code: z.literal('nothing_to_ship'), ...met }),
  /** So much has happened to the order that it takes no more shipments and refunds. */
  z.strictObject({ code: z.literal('too_many_events'), ...met, eventsMax: z.int().min(1) }),
  /** More than was paid and not yet asked back. */
  z.strictObject({ code: z.literal('refund_exceeded'), ...met, remaining: Amount }),
  /** Everything that was paid has been asked back, or the lines cost nothing. */
  z.strictObject({ code: z.literal('nothing_to_refund'), ...met }),
  /** The payment is not of the order's total and currency. */
  z.strictObject({ code: z.literal('payment_mismatch'), ...met, total: Amount, currency: Currency }),
  /** The order was paid by another payment. */
  z.strictObject({ code: z.literal('already_paid'), ...met, paymentId: PaymentId }),
  /** The order never asked for a refund of this id, amount and currency. */
  z.strictObject({ code: z.literal('refund_unknown'), ...met, refundId }),
  /** The refund was made or closed before. */
  z.strictObject({ code: z.literal('refund_settled'), ...met, refundId }),
  /** Not stored: the command id belongs to another payload. */
  z.strictObject({ code: z.literal('key_reused') }),
  /** Not stored: the database cannot hold the command's values, whatever its state. */
  z.strictObject({ code: z.literal('unstorable'), detail: text(500) }),
]);
export type Rejection = z.infer<typeof Rejection>;

/** The refusals that a repeat gets again. */
export type StoredRejection = Exclude<Rejection, { code: 'key_reused' | 'unstorable' }>;
