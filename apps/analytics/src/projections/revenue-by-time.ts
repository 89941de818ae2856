import type { GetRevenue, RevenueBucket, Summary } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { rowOf, TooLargeError, toSafeInteger } from '../queries/too-large.ts';
import { addRevenue, noRevenue, readSums, type Projection, type RevenueSums } from './projection.ts';
import { revenueOf, type CurrencySums } from './revenue-totals.ts';
import { DAY_MS, HOUR_MS, isoOf, MINUTE_MS, startMs } from './time-buckets.ts';

/** The most rows that one answer may hold: a day of minutes in ten currencies. */
export const REVENUE_ROWS_MAX = 14_400;

/** The money of each minute, hour, day and currency, by the time of the event: a late event lands in its own window. */
export const revenueByTime: Projection = {
  name: 'revenue-by-time',
  version: 1,
  tables: ['revenue_by_time'],

  async apply(client, partition, events) {
    const buckets = fold(events);
    if (buckets.length === 0) return;
    await client.query({
      name: 'write-revenue-by-time',
      text: `insert into revenue_by_time as r (partition, bucket, start, currency, placed, placed_amount, gross, refunded)
             select $1, * from unnest($2::text[], $3::timestamptz[], $4::text[], $5::bigint[], $6::numeric[], $7::numeric[],
                                      $8::numeric[])
             on conflict (bucket, start, currency, partition) do update set
               placed = r.placed + excluded.placed,
               placed_amount = r.placed_amount + excluded.placed_amount,
               gross = r.gross + excluded.gross,
               refunded = r.refunded + excluded.refunded`,
      values: [
        partition,
        buckets.map(({ bucket }) => bucket),
        buckets.map(({ start }) => start),
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
      name: 'revenue-by-time-totals',
      text: `select count(distinct (bucket, start, currency)) as buckets, sum(placed) as placed,
                    sum(placed_amount) as placed_amount, sum(gross) as gross, sum(refunded) as refunded
               from revenue_by_time`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each bucket. */
export function fold(events: readonly CountedEvent[]) {
  const minutes: Buckets = new Map();
  for (const event of events) addRevenue(event, (currency) => sumsOf(minutes, startMs(event.at, MINUTE_MS), currency));
  return [
    ...rowsOf('minute', minutes),
    ...rowsOf('hour', longer(minutes, HOUR_MS)),
    ...rowsOf('day', longer(minutes, DAY_MS)),
  ];
}

/**
 * The buckets that begin in `[from, to)` and have something in them, oldest first, currencies in alphabetical order.
 *
 * @throws TooLargeError
 */
export async function readRevenueByTime(
  client: PoolClient,
  { bucket, from, to, currency }: Pick<GetRevenue, 'bucket' | 'from' | 'to' | 'currency'>,
): Promise<RevenueBucket[]> {
  const { rows } = await client.query<CurrencySums & { start: Date }>({
    name: 'read-revenue-by-time',
    text: `select start, currency, sum(placed) as placed, sum(placed_amount) as placed_amount, sum(gross) as gross,
                  sum(refunded) as refunded
             from revenue_by_time
            where bucket = $1 and start >= $2 and start < $3 and ($4::text is null or currency = $4)
            group by start, currency order by start, currency collate "C" limit $5`,
    values: [bucket, from, to, currency ?? null, REVENUE_ROWS_MAX + 1],
  });
  if (rows.length > REVENUE_ROWS_MAX)
    throw new TooLargeError(`The range holds more than ${REVENUE_ROWS_MAX} rows: name a currency or a shorter range.`);
  return rows.map((row) => {
    const start = row.start.toISOString();
    const where = `in ${row.currency} at ${start}`;
    return {
      start,
      currency: row.currency as Currency,
      placed: toSafeInteger(row.placed, `the number of placed orders ${where}`),
      ...rowOf({
        placedAmount: row.placed_amount,
        gross: row.gross,
        refunded: row.refunded,
        net: BigInt(row.gross) - BigInt(row.refunded),
      }),
    };
  });
}

/** The totals of the hours that begin in `[from, to)`: of whole days as far as there are any, of hours at both ends. */
export async function readRevenueBetween(
  client: PoolClient,
  { from, to, currency }: { from: string; to: string; currency?: string | undefined },
): Promise<Summary['revenue']> {
  const { rows } = await client.query<CurrencySums>({
    name: 'read-revenue-between',
    text: `with days as (
             select date_trunc('day', $1::timestamptz + interval '1 day' - interval '1 microsecond', 'UTC') as first,
                    date_trunc('day', $2::timestamptz, 'UTC') as last
           )
           select currency, sum(placed) as placed, sum(placed_amount) as placed_amount, sum(gross) as gross,
                  sum(refunded) as refunded
             from revenue_by_time, days
            where bucket in ('day', 'hour') and start >= $1 and start < $2 and ($3::text is null or currency = $3)
              and (bucket = 'day') = (start >= first and start < last)
            group by currency order by currency collate "C"`,
    values: [from, to, currency ?? null],
  });
  return rows.map(revenueOf);
}

type Buckets = Map<number, Map<string, RevenueSums>>;

function sumsOf(buckets: Buckets, start: number, currency: string): RevenueSums {
  let currencies = buckets.get(start);
  if (currencies === undefined) buckets.set(start, (currencies = new Map()));
  let sums = currencies.get(currency);
  if (sums === undefined) currencies.set(currency, (sums = noRevenue()));
  return sums;
}

/** The same in buckets of another length, which minutes do not straddle. */
function longer(minutes: Buckets, lengthMs: number): Buckets {
  const buckets: Buckets = new Map();
  for (const [minute, currencies] of minutes)
    for (const [currency, { placed, placedAmount, gross, refunded }] of currencies) {
      const sums = sumsOf(buckets, startMs(new Date(minute), lengthMs), currency);
      sums.placed += placed;
      sums.placedAmount += placedAmount;
      sums.gross += gross;
      sums.refunded += refunded;
    }
  return buckets;
}

function rowsOf(bucket: string, buckets: Buckets) {
  return [...buckets].flatMap(([start, currencies]) =>
    [...currencies].map(([currency, sums]) => ({ bucket, start: isoOf(start), currency, sums })),
  );
}
