import { REVENUE_BUCKETS_MAX } from '@tandem/contracts/analytics-queries';
import { Currency } from '@tandem/contracts/money';
import { Position } from '@tandem/contracts/text';
import { z } from 'zod';
import { invalidRequest } from '../problem.ts';
import { decimal } from '../query-text.ts';

const MINUTE_MS = 60_000;
/** What is shown when the caller says nothing, in minutes. */
const RANGE_MINUTES = 60;

const after = decimal(Position.optional()).meta({
  description: 'Waits, for some seconds at most, until everything up to this position has been counted',
});
const instant = z.iso.datetime({ offset: true });

/** The parameters of `GET /v1/analytics/summary`. */
export const SummaryParameters = z.strictObject({ after });
export type SummaryParameters = z.infer<typeof SummaryParameters>;

/** The parameters of `GET /v1/analytics/revenue`. */
export const RevenueParameters = z.strictObject({
  from: instant.optional().meta({ description: 'Rounded down to the minute; an hour before `to` unless given' }),
  to: instant.optional().meta({ description: 'Not itself included; rounded up to the minute; now unless given' }),
  bucket: z.enum(['minute']).default('minute'),
  currency: Currency.optional(),
  after,
});
export type RevenueParameters = z.infer<typeof RevenueParameters>;

/**
 * The whole minutes that the range touches, in UTC.
 *
 * @throws ProblemError 400 naming the parameter, for an empty range and for one of too many minutes.
 */
export function minutesOf(range: { from?: string; to?: string }, nowMs: number): { from: string; to: string } {
  const toMs = Math.ceil((range.to === undefined ? nowMs : Date.parse(range.to)) / MINUTE_MS) * MINUTE_MS;
  const fromMs =
    range.from === undefined
      ? toMs - RANGE_MINUTES * MINUTE_MS
      : Math.floor(Date.parse(range.from) / MINUTE_MS) * MINUTE_MS;
  if (fromMs >= toMs) {
    const parameter = range.to === undefined ? 'from' : 'to';
    throw invalidRequest([{ parameter, detail: 'leaves an empty range: `from` must be before `to`' }]);
  }
  const minutes = (toMs - fromMs) / MINUTE_MS;
  if (minutes > REVENUE_BUCKETS_MAX) {
    const detail = `leaves a range of ${minutes} minutes, more than ${REVENUE_BUCKETS_MAX}`;
    throw invalidRequest([{ parameter: range.from === undefined ? 'to' : 'from', detail }]);
  }
  return { from: isoOf(fromMs, 'from'), to: isoOf(toMs, 'to') };
}

function isoOf(timeMs: number, parameter: string): string {
  const iso = new Date(timeMs).toISOString();
  // An offset can move a time out of the years that have four digits, which is all that a contract takes.
  if (/^\d{4}-/.test(iso)) return iso;
  throw invalidRequest([{ parameter, detail: 'is not within the years 0000 to 9999' }]);
}
