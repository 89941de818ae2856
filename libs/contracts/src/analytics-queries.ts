import { z } from 'zod';
import { Amount, Currency, SignedAmount } from './money.ts';
import { Instant, Position } from './text.ts';

const Count = z.int().min(0);

/** Waits, for `waitMsMax` at most, until everything up to this position has been counted. */
const after = { after: Position.optional(), waitMsMax: z.int().min(0).max(60_000).default(0) };

/** How far the answer has counted, and how many events are set aside because they could not be read or applied. */
const counted = { position: Position, parked: Count };

/** `analytics.summary` */
export const GetSummary = z.strictObject({ ...after });
export type GetSummary = z.infer<typeof GetSummary>;

/** Sums of one currency, in minor units. `placedAmount` is of all placed orders; the rest is of payments. */
export const RevenueSums = z.strictObject({
  currency: Currency,
  placedAmount: Amount,
  averageOrder: Amount,
  gross: Amount,
  refunded: Amount,
  net: SignedAmount,
});

/** Orders that ever got there, and the money of each currency. */
export const Summary = z
  .strictObject({
    orders: z.strictObject({ placed: Count, paid: Count, shipped: Count, delivered: Count, cancelled: Count }),
    revenue: z.array(RevenueSums.meta({ id: 'RevenueSums' })),
    ...counted,
  })
  .meta({ id: 'Summary' });
export type Summary = z.infer<typeof Summary>;

/** The most buckets that one answer may span. */
export const REVENUE_BUCKETS_MAX = 1_440;

/** `analytics.revenue`: minutes in the half-open range [from, to), by the time of the event, in UTC. */
export const GetRevenue = z.strictObject({
  from: Instant,
  to: Instant,
  bucket: z.enum(['minute']),
  currency: Currency.optional(),
  ...after,
});
export type GetRevenue = z.infer<typeof GetRevenue>;

export const RevenueBucket = z
  .strictObject({
    start: Instant,
    currency: Currency,
    placed: Count,
    placedAmount: Amount,
    gross: Amount,
    refunded: Amount,
    net: SignedAmount,
  })
  .meta({ id: 'RevenueBucket' });
export type RevenueBucket = z.infer<typeof RevenueBucket>;

/** Buckets with something in them, oldest first, currencies in alphabetical order. */
export const Revenue = z
  .strictObject({ bucket: z.enum(['minute']), from: Instant, to: Instant, data: z.array(RevenueBucket), ...counted })
  .meta({ id: 'Revenue' });
export type Revenue = z.infer<typeof Revenue>;

/** The answer to a query of analytics: what was asked for, or how far it has counted when the wait was over. */
export const SummaryReply = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('counted'), summary: Summary }),
  z.strictObject({ outcome: z.literal('behind'), position: Position }),
  z.strictObject({ outcome: z.literal('too_large'), detail: z.string() }),
]);
export type SummaryReply = z.infer<typeof SummaryReply>;
export const RevenueReply = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('counted'), revenue: Revenue }),
  z.strictObject({ outcome: z.literal('behind'), position: Position }),
  z.strictObject({ outcome: z.literal('too_large'), detail: z.string() }),
]);
export type RevenueReply = z.infer<typeof RevenueReply>;
