import {
  DURATIONS_HOURS_MAX,
  FUNNEL_HOURS_MAX,
  REVENUE_BUCKETS_MAX,
  RevenueBucketLength,
  TOP_DAYS_MAX,
  TOP_MAX,
} from '@tandem/contracts/analytics-queries';
import { Currency } from '@tandem/contracts/money';
import { Position } from '@tandem/contracts/text';
import { z } from 'zod';
import { invalidRequest } from '../problem.ts';
import { decimal } from '../query-text.ts';

/** What the range of a query is made of: whole units of time in UTC, so many at most, and so many unless the caller says. */
export interface RangeUnit {
  name: 'minute' | 'hour' | 'day';
  lengthMs: number;
  most: number;
  usual: number;
}

const lengthMs = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

export const REVENUE_RANGE: Record<RevenueBucketLength, RangeUnit> = {
  minute: { name: 'minute', lengthMs: lengthMs.minute, most: REVENUE_BUCKETS_MAX, usual: 60 },
  hour: { name: 'hour', lengthMs: lengthMs.hour, most: REVENUE_BUCKETS_MAX, usual: 24 },
  day: { name: 'day', lengthMs: lengthMs.day, most: REVENUE_BUCKETS_MAX, usual: 30 },
};
export const FUNNEL_RANGE: RangeUnit = { name: 'hour', lengthMs: lengthMs.hour, most: FUNNEL_HOURS_MAX, usual: 24 };
export const DURATIONS_RANGE: RangeUnit = { ...FUNNEL_RANGE, most: DURATIONS_HOURS_MAX };
export const TOP_RANGE: RangeUnit = { name: 'day', lengthMs: lengthMs.day, most: TOP_DAYS_MAX, usual: 7 };

const after = decimal(Position.optional()).meta({
  description:
    'Waits, for some seconds at most, until everything up to this position has been counted. Refused if no event has it yet',
});
const instant = z.iso.datetime({ offset: true });

/** `from` and `to`, of which either may be left out. */
const rangeOf = (unit: string, usual: string) => ({
  from: instant.optional().meta({ description: `Rounded down to the ${unit}; ${usual} before \`to\` unless given` }),
  to: instant.optional().meta({ description: `Not itself included; rounded up to the ${unit}; now unless given` }),
});

const currency = Currency.optional().meta({ description: 'ISO 4217 code; every currency unless given' });

/** The parameters of `GET /v1/analytics/summary`. */
export const SummaryParameters = z.strictObject({
  from: instant.optional().meta({
    description:
      'Rounded down to the hour. All of time unless `from` or `to` is given; 24 hours before `to` if only that is',
  }),
  to: instant
    .optional()
    .meta({ description: 'Not itself included; rounded up to the hour; now if only `from` is given' }),
  currency: Currency.optional().meta({ description: 'Of revenue and refunds; orders and rates are of all currencies' }),
  after,
});
export type SummaryParameters = z.infer<typeof SummaryParameters>;

/** The parameters of `GET /v1/analytics/revenue`. */
export const RevenueParameters = z.strictObject({
  ...rangeOf('bucket', '60 minutes, 24 hours or 30 days'),
  bucket: RevenueBucketLength.default('minute').meta({ description: 'The length of time that each sum is of' }),
  currency,
  after,
});
export type RevenueParameters = z.infer<typeof RevenueParameters>;

/** The parameters of `GET /v1/analytics/funnel` and `/durations`. */
export const HoursParameters = z.strictObject({ ...rangeOf('hour', '24 hours'), after });
export type HoursParameters = z.infer<typeof HoursParameters>;

/** The parameters of `GET /v1/analytics/products` and `/customers`. */
export const TopParameters = z.strictObject({
  ...rangeOf('day', '7 days'),
  currency,
  limit: decimal(z.int().min(1).max(TOP_MAX).default(10)).meta({ description: 'How many of each currency' }),
  after,
});
export type TopParameters = z.infer<typeof TopParameters>;

/** The parameters of `GET /v1/analytics/lag`. */
export const LagParameters = z.strictObject({ after });
export type LagParameters = z.infer<typeof LagParameters>;

/**
 * The whole units of time that a range touches, in UTC.
 *
 * @throws ProblemError 400 naming the parameter, for an empty range and for one that is too long.
 */
export function rangeIn(
  { name, lengthMs, most, usual }: RangeUnit,
  range: { from?: string | undefined; to?: string | undefined },
  nowMs: number,
): { from: string; to: string } {
  const toMs = Math.ceil((range.to === undefined ? nowMs : parseUp(range.to)) / lengthMs) * lengthMs;
  const fromMs =
    range.from === undefined ? toMs - usual * lengthMs : Math.floor(Date.parse(range.from) / lengthMs) * lengthMs;
  if (fromMs >= toMs) {
    const parameter = range.to === undefined ? 'from' : 'to';
    throw invalidRequest([{ parameter, detail: 'leaves an empty range: `from` must be before `to`' }]);
  }
  const units = (toMs - fromMs) / lengthMs;
  if (units > most) {
    const detail = `leaves a range of ${units} ${name}s, more than ${most}`;
    throw invalidRequest([{ parameter: range.from === undefined ? 'to' : 'from', detail }]);
  }
  return { from: isoOf(fromMs, 'from'), to: isoOf(toMs, 'to') };
}

/** The millisecond of an instant, or the next one if it is finer than that. */
const parseUp = (instant: string): number => Date.parse(instant) + (/\.\d{3}0*[1-9]/.test(instant) ? 1 : 0);

function isoOf(timeMs: number, parameter: string): string {
  const iso = new Date(timeMs).toISOString();
  // An offset can move a time out of the years that have four digits, which is all that a contract takes; PostgreSQL has no year 0.
  if (/^(?!0000)\d{4}-/.test(iso)) return iso;
  throw invalidRequest([{ parameter, detail: 'is not within the years 0001 to 9999' }]);
}
