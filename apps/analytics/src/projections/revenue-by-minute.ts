import type { GetRevenue, RevenueBucket } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { PoolClient } from 'pg';
import { TooLargeError, toSafeInteger } from '../queries/too-large.ts';
import { addRevenue, noRevenue, readSums, type Projection, type RevenueSums } from './projection.ts';

const MINUTE_MS = 60_000;

/** The most rows that one answer may hold: a day of minutes in ten currencies. */
export const REVENUE_ROWS_MAX = 14_400;

/** The money of each minute and currency, by the time of the event: a late event lands in its own minute. */
export const revenueByMinute: Projection = {
  name: 'revenue-by-minute',
  version: 1,
  tables: ['revenue_by_minute'],

  async apply(client, partition, events) {
    const minutes = new Map<string, { minute: string; currency: string; sums: RevenueSums }>();
    const sumsOf = (at: Date) => (currency: string) => {
      const start = Math.floor(at.getTime() / MINUTE_MS) * MINUTE_MS;
      const key = `${start} ${currency}`;
      let bucket = minutes.get(key);
      if (bucket === undefined) {
        bucket = { minute: new Date(start).toISOString(), currency, sums: noRevenue() };
        minutes.set(key, bucket);
      }
      return bucket.sums;
    };
    for (const event of events) addRevenue(event, sumsOf(event.at));
    if (minutes.size === 0) return;
    const buckets = [...minutes.values()];
    await client.query({
      name: 'write-revenue-by-minute',
      text: `insert into revenue_by_minute as r (partition, minute, currency, placed, placed_amount, gross, refunded)
             select $1, * from unnest($2::timestamptz[], $3::text[], $4::bigint[], $5::numeric[], $6::numeric[], $7::numeric[])
             on conflict (minute, currency, partition) do update set
               placed = r.placed + excluded.placed,
               placed_amount = r.placed_amount + excluded.placed_amount,
               gross = r.gross + excluded.gross,
               refunded = r.refunded + excluded.refunded`,
      values: [
        partition,
        buckets.map(({ minute }) => minute),
        buckets.map(({ currency }) => currency),
        buckets.map(({ sums }) => sums.placed),
        buckets.map(({ sums }) => sums.placedAmount),
        buckets.map(({ sums }) => sums.gross),
        buckets.map(({ sums }) => sums.refunded),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'revenue-by-minute-totals',
      text: `select count(distinct (minute, currency)) as minutes, sum(placed) as placed,
                    sum(placed_amount) as placed_amount, sum(gross) as gross, sum(refunded) as refunded
               from revenue_by_minute`,
    });
    return { sums, quantiles: {} };
  },
};

/**
 * The minutes that begin in `[from, to)` and have something in them, oldest first, currencies in alphabetical order.
 *
 * @throws TooLargeError
 */
export async function readRevenueByMinute(
  client: PoolClient,
  { from, to, currency }: Pick<GetRevenue, 'from' | 'to' | 'currency'>,
): Promise<RevenueBucket[]> {
  const { rows } = await client.query<
    { minute: Date } & Record<'currency' | 'placed' | 'placed_amount' | 'gross' | 'refunded', string>
  >({
    name: 'read-revenue-by-minute',
    text: `select minute, currency, sum(placed) as placed, sum(placed_amount) as placed_amount, sum(gross) as gross,
                  sum(refunded) as refunded
             from revenue_by_minute
            where minute >= $1 and minute < $2 and ($3::text is null or currency = $3)
            group by minute, currency order by minute, currency collate "C" limit $4`,
    values: [from, to, currency ?? null, REVENUE_ROWS_MAX + 1],
  });
  if (rows.length > REVENUE_ROWS_MAX)
    throw new TooLargeError(`The range holds more than ${REVENUE_ROWS_MAX} rows: name a currency or a shorter range.`);
  return rows.map((row) => {
    const start = row.minute.toISOString();
    const where = `in ${row.currency} at ${start}`;
    return {
      start,
      currency: row.currency as Currency,
      placed: toSafeInteger(row.placed, `the number of placed orders ${where}`),
      placedAmount: toSafeInteger(row.placed_amount, `the placed amount ${where}`),
      gross: toSafeInteger(row.gross, `the gross revenue ${where}`),
      refunded: toSafeInteger(row.refunded, `the refunds ${where}`),
      net: toSafeInteger(BigInt(row.gross) - BigInt(row.refunded), `the net revenue ${where}`),
    };
  });
}
