import type { Summary } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { toSafeInteger } from '../queries/too-large.ts';
import { readSums, type Projection } from './projection.ts';

interface Sums {
  requested: number;
  requestedAmount: bigint;
  recorded: number;
  recordedAmount: bigint;
}

/** What was asked to be given back, and what was, of each currency since the beginning. */
export const refunds: Projection = {
  name: 'refunds',
  version: 1,
  tables: ['refunds'],

  async apply(client, partition, events) {
    const currencies = fold(events);
    if (currencies.size === 0) return;
    const sums = [...currencies.values()];
    await client.query({
      name: 'write-refunds',
      text: `insert into refunds as r (partition, currency, requested, requested_amount, recorded, recorded_amount)
             select $1, * from unnest($2::text[], $3::bigint[], $4::numeric[], $5::bigint[], $6::numeric[])
             on conflict (partition, currency) do update set
               requested = r.requested + excluded.requested,
               requested_amount = r.requested_amount + excluded.requested_amount,
               recorded = r.recorded + excluded.recorded,
               recorded_amount = r.recorded_amount + excluded.recorded_amount`,
      values: [
        partition,
        [...currencies.keys()],
        sums.map(({ requested }) => requested),
        sums.map(({ requestedAmount }) => requestedAmount),
        sums.map(({ recorded }) => recorded),
        sums.map(({ recordedAmount }) => recordedAmount),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'refunds-totals',
      text: `select sum(requested) as requested, sum(requested_amount) as requested_amount, sum(recorded) as recorded,
                    sum(recorded_amount) as recorded_amount
               from refunds`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each currency. */
export function fold(events: readonly CountedEvent[]): Map<string, Sums> {
  const currencies = new Map<string, Sums>();
  const sumsOf = (currency: string): Sums => {
    let sums = currencies.get(currency);
    if (sums === undefined)
      currencies.set(currency, (sums = { requested: 0, requestedAmount: 0n, recorded: 0, recordedAmount: 0n }));
    return sums;
  };
  for (const { event } of events) {
    if (event.type === 'order.refund-requested.v1') {
      const sums = sumsOf(event.data.currency);
      sums.requested += 1;
      sums.requestedAmount += BigInt(event.data.amount);
    } else if (event.type === 'order.refund-recorded.v1') {
      const sums = sumsOf(event.data.currency);
      sums.recorded += 1;
      sums.recordedAmount += BigInt(event.data.amount);
    }
  }
  return currencies;
}

/** Over all partitions, by currency in alphabetical order. @throws TooLargeError */
export async function readRefunds(client: PoolClient): Promise<Summary['refunds']> {
  const { rows } = await client.query<
    Record<'currency' | 'requested' | 'requested_amount' | 'recorded' | 'recorded_amount', string>
  >({
    name: 'read-refunds',
    text: `select currency, sum(requested) as requested, sum(requested_amount) as requested_amount,
                  sum(recorded) as recorded, sum(recorded_amount) as recorded_amount
             from refunds group by currency order by currency collate "C"`,
  });
  return rows.map((row) => ({
    currency: row.currency as Currency,
    requested: toSafeInteger(row.requested, `the number of refunds requested in ${row.currency}`),
    requestedAmount: toSafeInteger(row.requested_amount, `the refunds requested in ${row.currency}`),
    recorded: toSafeInteger(row.recorded, `the number of refunds in ${row.currency}`),
    recordedAmount: toSafeInteger(row.recorded_amount, `the refunds in ${row.currency}`),
  }));
}
