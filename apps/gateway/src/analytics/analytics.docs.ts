import { Revenue, Summary } from '@tandem/contracts/analytics-queries';
import { documented, problemExample } from '../docs.ts';
import { invalidRequest } from '../problem.ts';

const tag = 'analytics';
const description =
  '`position` says how far has been counted: every event up to there is in the numbers, none of a later one. With ' +
  '`after` the answer waits until it has counted that far, and is 503 `not_counted_yet` if it takes too long.';

export const DocumentSummary = () =>
  documented({
    id: 'getSummary',
    tag,
    summary: 'Orders that ever got there, and the money of each currency',
    description: `${description} Sums are integers in minor units.`,
    success: {
      status: 200,
      description: 'What has been counted',
      schema: Summary,
      examples: {
        counted: {
          summary: 'Ten orders',
          request: { before: [{ operationId: 'placeOrder' }] },
          value: {
            orders: { placed: 10, paid: 8, shipped: 5, delivered: 3, cancelled: 2 },
            revenue: [
              {
                currency: 'EUR',
                placedAmount: 25000,
                averageOrder: 2500,
                gross: 20000,
                refunded: 2500,
                net: 17500,
              },
            ],
            position: 1234,
            parked: 0,
          },
        },
      },
    },
    problems: {
      invalid_request: {
        malformedPosition: problemExample(
          'A position that is none',
          { query: { after: 'latest' } },
          invalidRequest([{ parameter: 'after', detail: 'must be a number' }]),
        ),
      },
      sum_too_large: {},
      not_counted_yet: {},
      no_answer: {},
    },
  });

export const DocumentRevenue = () =>
  documented({
    id: 'getRevenue',
    tag,
    summary: 'Revenue by the minute',
    description: `Minutes with something in them, by the time of the event, in UTC, from \`from\` up to, not including, \`to\`. ${description}`,
    success: {
      status: 200,
      description: 'What has been counted',
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
            position: 1234,
            parked: 0,
          },
        },
      },
    },
    problems: {
      invalid_request: {
        tooLong: problemExample(
          'More minutes than one answer has',
          { query: { from: '2026-01-01T00:00:00Z', to: '2026-01-03T00:00:00Z' } },
          invalidRequest([{ parameter: 'from', detail: 'leaves a range of 2880 minutes, more than 1440' }]),
        ),
        emptyRange: problemExample(
          'A range that ends before it begins',
          { query: { from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' } },
          invalidRequest([{ parameter: 'to', detail: 'leaves an empty range: `from` must be before `to`' }]),
        ),
      },
      sum_too_large: {},
      not_counted_yet: {},
      no_answer: {},
    },
  });
