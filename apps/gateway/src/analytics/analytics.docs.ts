import {
  Durations,
  Funnel,
  Lag,
  Revenue,
  Summary,
  TopCustomers,
  TopProducts,
} from '@tandem/contracts/analytics-queries';
import type { z } from 'zod';
import { documented, problemExample, type Example } from '../docs.ts';
import { invalidRequest } from '../problem.ts';

const tag = 'analytics';
const description =
  'The numbers contain every event up to `position` and no later one. With `after` the answer waits until that position is ' +
  'counted; if that takes too long, it is 503 `not_counted_yet`.';
/** The end of each example: how far it has counted. */
const counted = { position: 1234, parked: 0 };

/** What all queries have in common. */
const query = (operation: {
  id: string;
  summary: string;
  description?: string;
  schema: z.ZodType;
  examples: Record<string, Example>;
  refusals: Record<string, Example>;
}) =>
  documented({
    id: operation.id,
    tag,
    summary: operation.summary,
    description: [operation.description, description].filter(Boolean).join(' '),
    success: {
      status: 200,
      description: 'The numbers',
      schema: operation.schema,
      examples: operation.examples,
    },
    problems: {
      invalid_request: operation.refusals,
      answer_too_large: {},
      not_counted_yet: {},
      no_answer: {},
    },
  });

/** A refused parameter. */
const refused = (summary: string, parameters: Record<string, string>, parameter: string, detail: string) =>
  problemExample(summary, { query: parameters }, invalidRequest([{ parameter, detail }]));

const malformedPosition = refused('Malformed position', { after: 'latest' }, 'after', 'must be a whole number');
const emptyRange = refused(
  'Empty range',
  { from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' },
  'to',
  'leaves an empty range: `from` must be before `to`',
);

export const DocumentSummary = () =>
  query({
    id: 'getSummary',
    summary: 'Get orders by status ever reached, money by currency, and rates',
    description:
      'Sums are integers in minor units; one past 2^53 − 1 is null, and `tooLarge` of its row has it in full. With `from` or `to`, ' +
      'orders and revenue cover what happened in the hours of the range, and refunds are left out. Rates cover the seconds ' +
      'before the newest counted event, whenever that was.',
    schema: Summary,
    examples: {
      counted: {
        summary: 'Ten orders',
        request: { before: [{ operationId: 'placeOrder' }] },
        value: {
          orders: { placed: 10, paid: 8, shipped: 5, delivered: 3, cancelled: 2 },
          revenue: [
            { currency: 'EUR', placedAmount: 25000, averageOrder: 2500, gross: 20000, refunded: 2500, net: 17500 },
          ],
          refunds: [
            {
              ...{ currency: 'EUR', requested: 3, requestedAmount: 7500, recorded: 1, recordedAmount: 2500 },
              ...{ declined: 1, declinedAmount: 2500, closed: 0, closedAmount: 0 },
            },
          ],
          rates: {
            asOf: '2026-01-01T00:00:59.000Z',
            last: [
              { seconds: 10, events: 12, orders: 5, eventsPerSecond: 1.2, ordersPerSecond: 0.5 },
              { seconds: 60, events: 28, orders: 10, eventsPerSecond: 0.4666666666666667, ordersPerSecond: 1 / 6 },
            ],
          },
          ...counted,
        },
      },
      anHour: {
        summary: 'One hour of one currency, with a sum that is too large for a JSON number',
        request: { query: { from: '2026-01-01T00:00:00Z', to: '2026-01-01T01:00:00Z', currency: 'EUR' } },
        value: {
          from: '2026-01-01T00:00:00.000Z',
          to: '2026-01-01T01:00:00.000Z',
          orders: { placed: 10, paid: 8, shipped: 5, delivered: 3, cancelled: 2 },
          revenue: [
            {
              currency: 'EUR',
              placedAmount: null,
              averageOrder: 999999999999,
              gross: 20000,
              refunded: 0,
              net: 20000,
              tooLarge: { placedAmount: '9999999999990000' },
            },
          ],
          rates: {
            asOf: '2026-01-01T00:00:59.000Z',
            last: [{ seconds: 10, events: 12, orders: 5, eventsPerSecond: 1.2, ordersPerSecond: 0.5 }],
          },
          ...counted,
        },
      },
    },
    refusals: { malformedPosition },
  });

export const DocumentRevenue = () =>
  query({
    id: 'getRevenue',
    summary: 'Get revenue and orders by minute, hour or day',
    description:
      'Buckets with something in them, by the time of the event, in UTC, from `from` up to, not including, `to`.',
    schema: Revenue,
    examples: {
      aMinute: {
        summary: 'One minute of one currency',
        request: { query: { from: '2026-01-01T00:00:00Z', to: '2026-01-01T01:00:00Z', currency: 'EUR' } },
        value: {
          bucket: 'minute',
          from: '2026-01-01T00:00:00.000Z',
          to: '2026-01-01T01:00:00.000Z',
          data: [
            {
              start: '2026-01-01T00:00:00.000Z',
              currency: 'EUR',
              placed: 1,
              placedAmount: 2500,
              gross: 0,
              refunded: 0,
              net: 0,
            },
          ],
          ...counted,
        },
      },
      days: {
        summary: 'The days of a year',
        request: { query: { from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z', bucket: 'day' } },
        value: {
          bucket: 'day',
          from: '2026-01-01T00:00:00.000Z',
          to: '2027-01-01T00:00:00.000Z',
          data: [
            {
              start: '2026-01-01T00:00:00.000Z',
              currency: 'EUR',
              placed: 10,
              placedAmount: 25000,
              gross: 20000,
              refunded: 2500,
              net: 17500,
            },
          ],
          ...counted,
        },
      },
    },
    refusals: {
      tooLong: refused(
        'More buckets than one answer may have',
        { from: '2026-01-01T00:00:00Z', to: '2026-01-03T00:00:00Z' },
        'from',
        'leaves a range of 2880 minutes, more than 1440',
      ),
      emptyRange,
    },
  });

export const DocumentFunnel = () =>
  query({
    id: 'getFunnel',
    summary: 'Get how many orders reached each status, and why orders were cancelled',
    description:
      'Counts what happened in the hours of the range, whenever the orders were placed. Rates are shares of the orders placed in the range, so a rate of a short range may exceed 1.',
    schema: Funnel,
    examples: {
      aDay: {
        summary: 'One day',
        request: { query: { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' } },
        value: {
          from: '2026-01-01T00:00:00.000Z',
          to: '2026-01-02T00:00:00.000Z',
          orders: { placed: 10, paid: 8, shipped: 5, delivered: 3, cancelled: 2 },
          rates: { paid: 0.8, shipped: 0.5, delivered: 0.3, cancelled: 0.2 },
          cancellations: {
            causes: [
              { cause: 'customer', orders: 1 },
              { cause: 'declined', orders: 1 },
            ],
            reasons: [{ cause: 'declined', reason: 'no funds', orders: 1 }],
          },
          ...counted,
        },
      },
    },
    refusals: { emptyRange },
  });

export const DocumentDurations = () =>
  query({
    id: 'getDurations',
    summary: 'Get how long orders took to be paid and shipped',
    description:
      'From placing to payment, and from placing to the shipment after which nothing remains, of the orders that got there in the hours of the range. A quantile q is the duration at rank ⌊q × (orders − 1)⌋, within one percent: of few orders, p99 is not the longest. Without orders all values are null.',
    schema: Durations,
    examples: {
      aDay: {
        summary: 'One day',
        request: { query: { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' } },
        value: {
          from: '2026-01-01T00:00:00.000Z',
          to: '2026-01-02T00:00:00.000Z',
          toPay: { orders: 8, averageMs: 2100, minMs: 400, p50Ms: 1800, p95Ms: 5200, p99Ms: 5200, maxMs: 5230 },
          toShip: {
            orders: 5,
            averageMs: 7_300_000,
            minMs: 3_600_000,
            p50Ms: 7_200_000,
            p95Ms: 10_800_000,
            p99Ms: 10_800_000,
            maxMs: 10_850_000,
          },
          ...counted,
        },
      },
    },
    refusals: {
      tooLong: refused(
        'More hours than one answer may cover',
        { from: '2026-01-01T00:00:00Z', to: '2026-03-01T00:00:00Z' },
        'from',
        'leaves a range of 1416 hours, more than 744',
      ),
    },
  });

export const DocumentProducts = () =>
  query({
    id: 'getTopProducts',
    summary: 'Get the top products of each currency',
    description: 'By amount (quantity × unit price) of the orders placed on the days of the range.',
    schema: TopProducts,
    examples: {
      aWeek: {
        summary: 'One week of one currency',
        request: { query: { from: '2026-01-01T00:00:00Z', to: '2026-01-08T00:00:00Z', currency: 'EUR', limit: '2' } },
        value: {
          from: '2026-01-01T00:00:00.000Z',
          to: '2026-01-08T00:00:00.000Z',
          data: [
            { currency: 'EUR', sku: 'A-1', orders: 8, quantity: 16, amount: 20000 },
            { currency: 'EUR', sku: 'B-7', orders: 2, quantity: 2, amount: 1980 },
          ],
          ...counted,
        },
      },
    },
    refusals: { tooMany: tooMany() },
  });

export const DocumentCustomers = () =>
  query({
    id: 'getTopCustomers',
    summary: 'Get the top customers of each currency',
    description: 'By the total of their orders placed on the days of the range.',
    schema: TopCustomers,
    examples: {
      aWeek: {
        summary: 'One week of one currency',
        request: { query: { from: '2026-01-01T00:00:00Z', to: '2026-01-08T00:00:00Z', currency: 'EUR', limit: '2' } },
        value: {
          from: '2026-01-01T00:00:00.000Z',
          to: '2026-01-08T00:00:00.000Z',
          data: [
            { currency: 'EUR', customerId: 'c-42', orders: 6, amount: 15000 },
            { currency: 'EUR', customerId: 'c-7', orders: 4, amount: 10000 },
          ],
          ...counted,
        },
      },
    },
    refusals: { tooMany: tooMany() },
  });

function tooMany(): Example {
  return refused('Limit above 100', { limit: '1000' }, 'limit', 'must be at most 100');
}

export const DocumentLag = () =>
  query({
    id: 'getLag',
    summary: 'Get what is in the log and not counted yet',
    description:
      'Offsets of each partition of `order.events`. The age of the oldest record that is not counted is the time since it ' +
      'was written to the log, within a hundredth.',
    schema: Lag,
    examples: {
      counted: {
        summary: 'One record that is not counted yet',
        request: { before: [{ operationId: 'placeOrder' }] },
        value: {
          lag: 1,
          oldestAgeMs: 100,
          partitions: [
            { partition: 0, endOffset: 207, committedOffset: 206, lag: 1, oldestAgeMs: 100 },
            { partition: 1, endOffset: 198, committedOffset: 198, lag: 0, oldestAgeMs: null },
          ],
          ...counted,
        },
      },
    },
    refusals: { malformedPosition },
  });
