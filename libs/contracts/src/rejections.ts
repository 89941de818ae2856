import { z } from 'zod';
import { Amount, Currency } from './money.ts';
import { OrderId, OrderStatus, PaymentId, Version } from './order.ts';
import { text } from './text.ts';

/** The order as the refused command met it. */
const met = { status: OrderStatus, version: Version };
const lineId = z.int().min(1);

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
  z.strictObject({ code: z.literal('reference_taken'), orderId: OrderId }),
  /** The order has no line of this id. */
  z.strictObject({ code: z.literal('line_unknown'), ...met, lineId }),
  /** More than remains of a line, to be shipped or to be refunded. */
  z.strictObject({ code: z.literal('line_exceeded'), ...met, lineId, remaining: z.int().min(0) }),
  /** More than was paid and not yet asked back. */
  z.strictObject({ code: z.literal('refund_exceeded'), ...met, remaining: Amount }),
  /** Everything that was paid has been asked back, or the lines cost nothing. */
  z.strictObject({ code: z.literal('nothing_to_refund'), ...met }),
  /** The payment is not of the order's total and currency. */
  z.strictObject({ code: z.literal('payment_mismatch'), ...met, total: Amount, currency: Currency }),
  /** The order was paid by another payment. */
  z.strictObject({ code: z.literal('already_paid'), ...met, paymentId: PaymentId }),
  /** The order never asked for a refund of this id, amount and currency. */
  z.strictObject({ code: z.literal('refund_unknown'), ...met, refundId: z.int().min(1) }),
  /** Not stored: the command id belongs to another payload. */
  z.strictObject({ code: z.literal('key_reused') }),
  /** Not stored: the database cannot hold the command's values, whatever its state. */
  z.strictObject({ code: z.literal('unstorable'), detail: text(500) }),
]);
export type Rejection = z.infer<typeof Rejection>;

/** The refusals that a repeat gets again. */
export type StoredRejection = Exclude<Rejection, { code: 'key_reused' | 'unstorable' }>;
