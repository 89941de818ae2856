import { z } from 'zod';
import { Amount, Currency, SignedAmount } from './money.ts';
import { CancellationCause } from './order.ts';
import { Instant, Position, identifier } from './text.ts';

const Count = z.int().min(0);

/** Waits, for `waitMsMax` at most, until everything up to this position has been counted. */
const after = { after: Position.optional(), waitMsMax: z.int().min(0).max(60_000).default(0) };

/** How far the answer has counted, and how many events are set aside because they could not be read or applied. */
const counted = { position: Position, parked: Count };

/** A half-open range `[from, to)` of the times of events, in UTC. */
const range = { from: Instant, to: Instant };

/** The answer to a query of analytics: what was asked for, or how far it has counted when the wait was over. */
const reply = <K extends string, T extends z.ZodType>(name: K, answer: T) =>
  z.discriminatedUnion('outcome', [
    z.strictObject({ outcome: z.literal('counted'), ...({ [name]: answer } as Record<K, T>) }),
    z.strictObject({ outcome: z.literal('behind'), position: Position }),
    z.strictObject({ outcome: z.literal('too_large'), detail: z.string() }),
  ]);

/** A sum that may be too large for a JSON number. */
const Sum = Amount.nullable().meta({ description: 'Null past 2^53 − 1: `tooLarge` has it then' });
const SignedSum = SignedAmount.nullable().meta({ description: 'Null past ±(2^53 − 1): `tooLarge` has it then' });
/** What a row of sums may have besides. */
const tooLarge = {
  tooLarge: z
    .record(z.string(), z.string().regex(/^-?\d{16,}$/))
    .optional()
    .meta({
      description: 'The sums of this row that are past 2^53 − 1, where JSON numbers stop being exact, by name, in full',
      example: { gross: '9007199254740992' },
    }),
};

/**
 * `analytics.summary`: of all time, or of the events of the hours that begin in the range. Revenue and refunds may be of one
 * currency; orders and rates are always of all.
 */
export const GetSummary = z
  .strictObject({ from: Instant.optional(), to: Instant.optional(), currency: Currency.optional(), ...after })
  .refine(({ from, to }) => (from === undefined) === (to === undefined), 'takes both ends of a range or none');
export type GetSummary = z.infer<typeof GetSummary>;

/** Sums of one currency, in minor units. `placedAmount` is of all placed orders; the rest is of payments. */
export const RevenueSums = z.strictObject({
  currency: Currency,
  placedAmount: Sum,
  averageOrder: Amount,
  gross: Sum,
  refunded: Sum,
  net: SignedSum,
  ...tooLarge,
});

/** Refunds of one currency: what was asked for, and what the payment provider has given back. */
export const RefundSums = z
  .strictObject({
    currency: Currency,
    requested: Count,
    requestedAmount: Sum,
    recorded: Count,
    recordedAmount: Sum,
    declined: Count.meta({
      description: 'Refused by the payment provider; what is asked for again counts as requested again',
    }),
    declinedAmount: Sum,
    closed: Count.meta({ description: 'Settled by hand, declined before or not' }),
    closedAmount: Sum,
    ...tooLarge,
  })
  .meta({ id: 'RefundSums' });

/** What was counted in the last so many seconds before the newest event counted. */
export const Rate = z
  .strictObject({
    seconds: z.int().min(1),
    events: Count,
    orders: Count,
    eventsPerSecond: z.number().min(0),
    ordersPerSecond: z.number().min(0),
  })
  .meta({ id: 'Rate' });

/** Orders that ever got there, or did so in the range, the money of each currency, and how much happens. */
export const Summary = z
  .strictObject({
    from: Instant.optional(),
    to: Instant.optional(),
    orders: z.strictObject({ placed: Count, paid: Count, shipped: Count, delivered: Count, cancelled: Count }),
    revenue: z.array(RevenueSums.meta({ id: 'RevenueSums' })),
    refunds: z
      .array(RefundSums)
      .optional()
      .meta({ description: 'Of all time only: not there when a range is asked for' }),
    rates: z
      .strictObject({
        asOf: Instant.nullable().meta({
          description: 'The second of the newest event counted; one that is dated later than now does not count',
        }),
        last: z.array(Rate),
      })
      .meta({ id: 'Rates' }),
    ...counted,
  })
  .meta({ id: 'Summary' });
export type Summary = z.infer<typeof Summary>;

/** The lengths of time that revenue is summed over. */
export const RevenueBucketLength = z.enum(['minute', 'hour', 'day']);
export type RevenueBucketLength = z.infer<typeof RevenueBucketLength>;

/** The most buckets that one answer may span. */
export const REVENUE_BUCKETS_MAX = 1_440;

/** `analytics.revenue`: buckets that begin in the range. */
export const GetRevenue = z.strictObject({
  ...range,
  bucket: RevenueBucketLength,
  currency: Currency.optional(),
  ...after,
});
export type GetRevenue = z.infer<typeof GetRevenue>;

export const RevenueBucket = z
  .strictObject({
    start: Instant,
    currency: Currency,
    placed: Count,
    placedAmount: Sum,
    gross: Sum,
    refunded: Sum,
    net: SignedSum,
    ...tooLarge,
  })
  .meta({ id: 'RevenueBucket' });
export type RevenueBucket = z.infer<typeof RevenueBucket>;

/** Buckets with something in them, oldest first, currencies in alphabetical order. */
export const Revenue = z
  .strictObject({ bucket: RevenueBucketLength, ...range, data: z.array(RevenueBucket), ...counted })
  .meta({ id: 'Revenue' });
export type Revenue = z.infer<typeof Revenue>;

/** The longest range of a funnel, in hours: a leap year. */
export const FUNNEL_HOURS_MAX = 366 * 24;
/** The most reasons of cancellations that one answer names. */
export const FUNNEL_REASONS_MAX = 20;

/** `analytics.funnel`: what happened in the hours that begin in the range. */
export const GetFunnel = z.strictObject({ ...range, ...after });
export type GetFunnel = z.infer<typeof GetFunnel>;

const Share = z
  .number()
  .min(0)
  .nullable()
  .meta({ description: 'As a share of the placed ones; null if none was placed' });

/** How many orders got to each state within the range, whenever they were placed. */
export const Funnel = z
  .strictObject({
    ...range,
    orders: z.strictObject({ placed: Count, paid: Count, shipped: Count, delivered: Count, cancelled: Count }),
    rates: z.strictObject({ paid: Share, shipped: Share, delivered: Share, cancelled: Share }),
    cancellations: z.strictObject({
      causes: z.array(z.strictObject({ cause: CancellationCause, orders: Count })),
      reasons: z.array(z.strictObject({ cause: CancellationCause, reason: z.string(), orders: Count })).meta({
        description: `The ${FUNNEL_REASONS_MAX} most frequent ones that were given`,
      }),
    }),
    ...counted,
  })
  .meta({ id: 'Funnel' });
export type Funnel = z.infer<typeof Funnel>;

/** The longest range of durations, in hours. */
export const DURATIONS_HOURS_MAX = 31 * 24;

/** `analytics.durations`: orders that were paid, or shipped, in the hours that begin in the range. */
export const GetDurations = z.strictObject({ ...range, ...after });
export type GetDurations = z.infer<typeof GetDurations>;

const DurationMs = Count.nullable();
export const Duration = z
  .strictObject({
    orders: Count,
    averageMs: DurationMs,
    minMs: DurationMs,
    p50Ms: DurationMs,
    p95Ms: DurationMs,
    p99Ms: DurationMs,
    maxMs: DurationMs,
  })
  .meta({ id: 'Duration' });
export type Duration = z.infer<typeof Duration>;

/** How long it took from the placing of an order; quantiles within one percent, null when there is no order. */
export const Durations = z
  .strictObject({ ...range, toPay: Duration, toShip: Duration, ...counted })
  .meta({ id: 'Durations' });
export type Durations = z.infer<typeof Durations>;

/** The longest range of the top products and customers, in days. */
export const TOP_DAYS_MAX = 92;
/** The most products or customers of one currency in one answer. */
export const TOP_MAX = 100;

/** `analytics.products` and `analytics.customers`: orders placed on the days that begin in the range. */
export const GetTop = z.strictObject({
  ...range,
  currency: Currency.optional(),
  limit: z.int().min(1).max(TOP_MAX),
  ...after,
});
export type GetTop = z.infer<typeof GetTop>;

export const TopProduct = z
  .strictObject({ currency: Currency, sku: identifier(64), orders: Count, quantity: Sum, amount: Sum, ...tooLarge })
  .meta({ id: 'TopProduct' });
export type TopProduct = z.infer<typeof TopProduct>;

/** Of each currency, in alphabetical order, the products with the largest amounts; quantity × unit price, as placed. */
export const TopProducts = z
  .strictObject({ ...range, data: z.array(TopProduct), ...counted })
  .meta({ id: 'TopProducts' });
export type TopProducts = z.infer<typeof TopProducts>;

export const TopCustomer = z
  .strictObject({ currency: Currency, customerId: identifier(64), orders: Count, amount: Sum, ...tooLarge })
  .meta({ id: 'TopCustomer' });
export type TopCustomer = z.infer<typeof TopCustomer>;

/** Of each currency, in alphabetical order, the customers with the largest totals of placed orders. */
export const TopCustomers = z
  .strictObject({ ...range, data: z.array(TopCustomer), ...counted })
  .meta({ id: 'TopCustomers' });
export type TopCustomers = z.infer<typeof TopCustomers>;

/** `analytics.lag` */
export const GetLag = z.strictObject({ ...after });
export type GetLag = z.infer<typeof GetLag>;

/** One partition of `order.events`. */
export const PartitionLag = z
  .strictObject({
    partition: z.int().min(0),
    endOffset: Count,
    committedOffset: Count,
    lag: Count,
    oldestAgeMs: Count.nullable().meta({
      description:
        'For how long the oldest record that is not counted has been in the log, rounded up a little; null when there is none',
    }),
  })
  .meta({ id: 'PartitionLag' });
export type PartitionLag = z.infer<typeof PartitionLag>;

/** What is in the log and not counted yet. */
export const Lag = z
  .strictObject({ lag: Count, oldestAgeMs: Count.nullable(), partitions: z.array(PartitionLag), ...counted })
  .meta({ id: 'Lag' });
export type Lag = z.infer<typeof Lag>;

export const SummaryReply = reply('summary', Summary);
export type SummaryReply = z.infer<typeof SummaryReply>;
export const RevenueReply = reply('revenue', Revenue);
export type RevenueReply = z.infer<typeof RevenueReply>;
export const FunnelReply = reply('funnel', Funnel);
export type FunnelReply = z.infer<typeof FunnelReply>;
export const DurationsReply = reply('durations', Durations);
export type DurationsReply = z.infer<typeof DurationsReply>;
export const ProductsReply = reply('products', TopProducts);
export type ProductsReply = z.infer<typeof ProductsReply>;
export const CustomersReply = reply('customers', TopCustomers);
export type CustomersReply = z.infer<typeof CustomersReply>;
export const LagReply = z.discriminatedUnion('outcome', [
  ...reply('lag', Lag).options,
  z.strictObject({ outcome: z.literal('log_away'), detail: z.string() }),
]);
export type LagReply = z.infer<typeof LagReply>;
