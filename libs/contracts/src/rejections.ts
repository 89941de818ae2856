import { z } from 'zod';
import { OrderId, OrderStatus, Version } from './order.ts';
import { Amount } from './money.ts';
import { text } from './text.ts';

/** Why a command was refused. A refusal is a value: it is decided, stored with the command, and answered again. */
export const Rejection = z.discriminatedUnion('code', [
  z.strictObject({ code: z.literal('order_not_found'), orderId: OrderId }),
  z.strictObject({ code: z.literal('order_closed'), status: OrderStatus, version: Version }),
  z.strictObject({ code: z.literal('version_mismatch'), status: OrderStatus, version: Version }),
  z.strictObject({ code: z.literal('total_mismatch'), total: Amount }),
  z.strictObject({ code: z.literal('reference_taken'), orderId: OrderId }),
  /** Not stored: the command id belongs to another payload. */
  z.strictObject({ code: z.literal('key_reused') }),
  /** Not stored: the database cannot hold the command's values, whatever its state. */
  z.strictObject({ code: z.literal('unstorable'), detail: text(500) }),
]);
export type Rejection = z.infer<typeof Rejection>;

/** The refusals that a repeat gets again. */
export type StoredRejection = Exclude<Rejection, { code: 'key_reused' | 'unstorable' }>;
