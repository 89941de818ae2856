import type { Currency } from '@tandem/contracts/money';
import type { RevenueSums as RevenueSumsReply } from '@tandem/contracts/analytics-queries';
import type { z } from 'zod';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { rowOf } from '../queries/too-large.ts';
import { addRevenue, noRevenue, readSums, type Projection, type RevenueSums } from './projection.ts';

/** The money of each currency since the beginning. */
export const revenueTotals: Projection = {
  name: 'revenue-totals',
  version: 1,
  tables: ['revenue_totals'],

  async apply(client, partition, events) {
    const totals = fold(events);
    if (totals.size === 0) return;
    const sums = [...totals.values()];
    await client.query({
      name: 'write-revenue-totals',
      text: `insert into revenue_totals as r (partition, currency, placed, placed_amount, gross, refunded)
             select $1, * from unnest($2::text[], $3::bigint[], $4::numeric[], $5::numeric[], $6::numeric[])
             on conflict (partition, currency) do update set
               placed = r.placed + excluded.placed,
               placed_amount = r.placed_amount + excluded.placed_amount,
               gross = r.gross + excluded.gross,
               refunded = r.refunded + excluded.refunded`,
      values: [
        partition,
        [...totals.keys()],
        sums.map(({ placed }) => placed),
        sums.map(({ placedAmount }) => placedAmount),
        sums.map(({ gross }) => gross),
        sums.map(({ refunded }) => refunded),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'revenue-totals-totals',
      text: `select sum(placed) as placed, sum(placed_amount) as placed_amount, sum(gross) as gross,
                    sum(refunded) as refunded
               from revenue_totals`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each currency. */
export function fold(events: readonly CountedEvent[]): Map<string, RevenueSums> {
  const totals = new Map<string, RevenueSums>();
  const sumsOf = (currency: string) =>
    totals.get(currency) ?? (totals.set(currency, noRevenue()).get(currency) as RevenueSums);
  for (const event of events) addRevenue(event, sumsOf);
  return totals;
}

/** The totals over all partitions, of one currency or of each. */
export async function readRevenueTotals(client: PoolClient, currency?: string): Promise<RevenueRow[]> {
  const { rows } = await client.query<CurrencySums>({
    name: 'read-revenue-totals',
    text: `select currency, sum(placed) as placed, sum(placed_amount) as placed_amount, sum(gross) as gross,
                  sum(refunded) as refunded
             from revenue_totals where $1::text is null or currency = $1 group by currency order by currency collate "C"`,
    values: [currency ?? null],
  });
  return rows.map(revenueOf);
}

type RevenueRow = z.infer<typeof RevenueSumsReply>;

/** Sums of one currency, as the database has them. */
export type CurrencySums = Record<'currency' | 'placed' | 'placed_amount' | 'gross' | 'refunded', string>;

/** The average order is rounded down to the minor unit. */
export function revenueOf(sums: CurrencySums): RevenueRow {
  const [placed, placedAmount, gross, refunded] = [sums.placed, sums.placed_amount, sums.gross, sums.refunded].map(
    BigInt,
  ) as [bigint, bigint, bigint, bigint];
  return {
    currency: sums.currency as Currency,
    averageOrder: placed === 0n ? 0 : Number(placedAmount / placed),
    ...rowOf({ placedAmount, gross, refunded, net: gross - refunded }),
  };
}
