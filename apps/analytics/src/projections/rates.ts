import type { Summary } from '@tandem/contracts/analytics-queries';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { toSafeInteger } from '../queries/too-large.ts';
import { readSums, type Projection } from './projection.ts';
import { isoOf, SECOND_MS, startMs } from './time-buckets.ts';

/** The stretches of time before the newest event that rates are told of. */
const LAST_SECONDS = [10, 60];

/**
 * An event that is dated later than now, by more than clocks may differ, is kept for its time and is not the newest until then: it
 * would make all others old.
 */
const IN_THE_PAST = `second <= now() + interval '5 seconds'`;

/** How much happened in each of the last seconds before the newest event of each partition; older ones are forgotten. */
export const rates: Projection = {
  name: 'rates',
  version: 1,
  tables: ['events_by_second'],

  async apply(client, partition, events) {
    const seconds = fold(events);
    const counts = [...seconds.values()];
    await client.query({
      name: 'write-rates',
      // What is older than the newest by more than two minutes is not counted, or is taken off.
      text: `with came as (
               select * from unnest($2::timestamptz[], $3::bigint[], $4::bigint[]) as t (second, events, placed)
             ), oldest as materialized (
               select greatest((select max(second) from came where ${IN_THE_PAST}),
                               (select max(second) from events_by_second where partition = $1 and ${IN_THE_PAST}))
                      - interval '2 minutes' as kept
             ), gone as (
               delete from events_by_second where partition = $1 and second < (select kept from oldest)
             )
             insert into events_by_second as e (partition, second, events, placed)
             select $1, second, events, placed from came, oldest where second >= coalesce(kept, '-infinity')
             on conflict (partition, second) do update set
               events = e.events + excluded.events, placed = e.placed + excluded.placed`,
      values: [
        partition,
        [...seconds.keys()].map(isoOf),
        counts.map(({ events }) => events),
        counts.map(({ placed }) => placed),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'rates-totals',
      text: `select count(*) as seconds, sum(events) as events, sum(placed) as placed,
                    extract(epoch from max(second))::bigint as newest
               from events_by_second
              where ${IN_THE_PAST}
                and second > (select max(second) from events_by_second where ${IN_THE_PAST}) - interval '2 minutes'`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each second. */
export function fold(events: readonly CountedEvent[]): Map<number, { events: number; placed: number }> {
  const seconds = new Map<number, { events: number; placed: number }>();
  for (const { at, event } of events) {
    const start = startMs(at, SECOND_MS);
    let second = seconds.get(start);
    if (second === undefined) seconds.set(start, (second = { events: 0, placed: 0 }));
    second.events += 1;
    if (event.type === 'order.placed.v1') second.placed += 1;
  }
  return seconds;
}

/** Rates as of the newest event counted that is not dated later than now, whose second is the last one. */
export async function readRates(client: PoolClient): Promise<Summary['rates']> {
  const { rows } = await client.query<{ newest: Date | null; seconds: number; events: string; orders: string }>({
    name: 'read-rates',
    text: `select newest, seconds, coalesce(sum(events), 0) as events, coalesce(sum(placed), 0) as orders
             from (select max(second) as newest from events_by_second where ${IN_THE_PAST}) as n
             cross join unnest($1::integer[]) as seconds
             left join events_by_second e on e.second > newest - seconds * interval '1 second' and e.second <= newest
            group by newest, seconds order by seconds`,
    values: [LAST_SECONDS],
  });
  const asOf = rows[0]?.newest?.toISOString() ?? null;
  const last = rows.map((row) => {
    const { seconds } = row;
    const events = toSafeInteger(row.events, `the events of the last ${seconds} seconds`);
    const orders = toSafeInteger(row.orders, `the orders of the last ${seconds} seconds`);
    return { seconds, events, orders, eventsPerSecond: events / seconds, ordersPerSecond: orders / seconds };
  });
  return { asOf, last };
}
