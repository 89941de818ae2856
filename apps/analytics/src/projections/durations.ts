import type { Duration, Durations, GetDurations } from '@tandem/contracts/analytics-queries';
import { DDSketch } from '@datadog/sketches-js';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { toSafeInteger } from '../queries/too-large.ts';
import { QUANTILE_ERROR, readSums, type Projection } from './projection.ts';
import { DAY_MS, HOUR_MS, isoOf, startMs } from './time-buckets.ts';

type Step = 'paid' | 'shipped';
type Bucket = 'hour' | 'day';
/** The durations of one stretch of time. The library's sketch loses its sum and extremes when it is stored. */
interface Distribution {
  bucket: Bucket;
  start: string;
  step: Step;
  orders: number;
  sumMs: bigint;
  minMs: number;
  maxMs: number;
  sketch: DDSketch;
}
/** An order that got there, and when. */
interface Reached {
  orderId: string;
  step: Step;
  at: Date;
}

/**
 * How long orders took from their placing to their payment, and to the shipment after which nothing remains, by the time of
 * the latter. Of the orders that are still open the time of their placing is kept; what comes after an order was shipped or
 * cancelled says nothing any more. (DDSketch: Masson, Rim and Lee, VLDB 2019.)
 */
export const durations: Projection = {
  name: 'durations',
  version: 1,
  tables: ['open_orders', 'durations_by_time'],

  async apply(client, partition, events) {
    const { placed, closed, reached } = fold(events);
    if (placed.size === 0 && closed.size === 0 && reached.length === 0) return;
    const before = await readPlaced(client, reached, placed);
    const measured = measure(reached, (orderId) => placed.get(orderId) ?? before.get(orderId));
    const merged = await mergeStored(client, partition, measured);
    const opened = [...placed].filter(([orderId]) => !closed.has(orderId));
    await client.query({
      name: 'write-durations',
      text: `with closed as (
               delete from open_orders where order_id = any($2::uuid[])
             ), opened as (
               insert into open_orders (partition, order_id, placed_ms) select $1, * from unnest($3::uuid[], $4::bigint[])
               on conflict (order_id) do nothing
             )
             insert into durations_by_time as d (partition, bucket, start, step, orders, sum_ms, min_ms, max_ms, sketch)
             select $1, * from unnest($5::text[], $6::timestamptz[], $7::text[], $8::bigint[], $9::numeric[], $10::bigint[],
                                      $11::bigint[], $12::bytea[])
             on conflict (bucket, start, step, partition) do update set
               orders = d.orders + excluded.orders,
               sum_ms = d.sum_ms + excluded.sum_ms,
               min_ms = least(d.min_ms, excluded.min_ms),
               max_ms = greatest(d.max_ms, excluded.max_ms),
               sketch = excluded.sketch`,
      values: [
        partition,
        [...closed].filter((orderId) => !placed.has(orderId)),
        opened.map(([orderId]) => orderId),
        opened.map(([, placedMs]) => placedMs),
        merged.map(({ bucket }) => bucket),
        merged.map(({ start }) => start),
        merged.map(({ step }) => step),
        merged.map(({ orders }) => orders),
        merged.map(({ sumMs }) => sumMs),
        merged.map(({ minMs }) => minMs),
        merged.map(({ maxMs }) => maxMs),
        merged.map(({ sketch }) => Buffer.from(sketch.toProto())),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'durations-totals',
      text: `select (select count(*) from open_orders) as open, (select sum(placed_ms) from open_orders) as open_placed_ms,
                    sum(orders) filter (where step = 'paid') as paid, sum(orders) filter (where step = 'shipped') as shipped,
                    sum(sum_ms) filter (where step = 'paid') as paid_ms,
                    sum(sum_ms) filter (where step = 'shipped') as shipped_ms,
                    min(min_ms) as min_ms, max(max_ms) as max_ms
               from durations_by_time where bucket = 'day'`,
    });
    const { toPay, toShip } = await readDurations(client, { from: '0001-01-01T00:00:00.000Z', to: 'infinity' });
    const quantiles: Record<string, number> = {};
    for (const [name, { p50Ms, p95Ms, p99Ms }] of Object.entries({ toPay, toShip }))
      for (const [quantile, ms] of Object.entries({ p50Ms, p95Ms, p99Ms }))
        if (ms !== null) quantiles[`${name}.${quantile}`] = ms;
    return { sums, quantiles };
  },
};

/** What the events say of the orders' placing and of what they got to, before any of them is closed. */
export function fold(events: readonly CountedEvent[]) {
  const placed = new Map<string, number>();
  const closed = new Set<string>();
  const reached: Reached[] = [];
  for (const { orderId, at, event } of events) {
    switch (event.type) {
      case 'order.placed.v1':
        placed.set(orderId, at.getTime());
        break;
      case 'order.payment-recorded.v1':
        if (!closed.has(orderId)) reached.push({ orderId, step: 'paid', at });
        break;
      case 'order.shipped.v1':
        if (!event.data.complete || closed.has(orderId)) break;
        reached.push({ orderId, step: 'shipped', at });
        closed.add(orderId);
        break;
      case 'order.cancelled.v1':
        closed.add(orderId);
        break;
    }
  }
  return { placed, closed, reached };
}

/**
 * The durations of what orders got to, by the hour and the day of it.
 *
 * @param placedMs when an order was placed; undefined when its placing was dropped, or it was closed before.
 */
export function measure(
  reached: readonly Reached[],
  placedMs: (orderId: string) => number | undefined,
): Distribution[] {
  const distributions = new Map<string, Distribution>();
  for (const { orderId, step, at } of reached) {
    const startedMs = placedMs(orderId);
    if (startedMs === undefined) continue;
    const durationMs = Math.max(0, at.getTime() - startedMs);
    add(distributions, 'hour', startMs(at, HOUR_MS), step, durationMs);
    add(distributions, 'day', startMs(at, DAY_MS), step, durationMs);
  }
  return [...distributions.values()];
}

/** When the orders were placed whose placing is not among the events. */
async function readPlaced(
  client: PoolClient,
  reached: readonly Reached[],
  placed: ReadonlyMap<string, number>,
): Promise<Map<string, number>> {
  const unknown = new Set(reached.map(({ orderId }) => orderId).filter((orderId) => !placed.has(orderId)));
  if (unknown.size === 0) return new Map();
  const { rows } = await client.query<{ order_id: string; placed_ms: bigint }>({
    name: 'read-placed',
    text: 'select order_id, placed_ms from open_orders where order_id = any($1::uuid[])',
    values: [[...unknown]],
  });
  return new Map(rows.map(({ order_id: orderId, placed_ms: placedMs }) => [orderId, Number(placedMs)]));
}

function add(
  distributions: Map<string, Distribution>,
  bucket: Bucket,
  start: number,
  step: Step,
  durationMs: number,
): void {
  const key = `${bucket} ${step} ${start}`;
  let distribution = distributions.get(key);
  if (distribution === undefined) {
    distribution = { bucket, start: isoOf(start), step, ...empty() };
    distributions.set(key, distribution);
  }
  distribution.orders += 1;
  distribution.sumMs += BigInt(durationMs);
  distribution.minMs = Math.min(distribution.minMs, durationMs);
  distribution.maxMs = Math.max(distribution.maxMs, durationMs);
  distribution.sketch.accept(durationMs);
}

const empty = () => {
  return {
    orders: 0,
    sumMs: 0n,
    minMs: Infinity,
    maxMs: 0,
    sketch: new DDSketch({ relativeAccuracy: QUANTILE_ERROR }),
  };
};

/** Adds the stored sketches to those of the events: the one thing that a statement cannot. The partition's lock holds them. */
async function mergeStored(
  client: PoolClient,
  partition: number,
  distributions: readonly Distribution[],
): Promise<readonly Distribution[]> {
  if (distributions.length === 0) return distributions;
  const { rows } = await client.query<{ n: number; sketch: Buffer }>({
    name: 'read-stored-sketches',
    text: `select t.n::integer as n, d.sketch
             from unnest($2::text[], $3::timestamptz[], $4::text[]) with ordinality as t (bucket, start, step, n)
             join durations_by_time d on d.partition = $1 and d.bucket = t.bucket and d.start = t.start and d.step = t.step`,
    values: [
      partition,
      distributions.map(({ bucket }) => bucket),
      distributions.map(({ start }) => start),
      distributions.map(({ step }) => step),
    ],
  });
  for (const { n, sketch } of rows) distributions[n - 1]?.sketch.merge(DDSketch.fromProto(sketch) as DDSketch);
  return distributions;
}

/**
 * The durations of the hours that begin in `[from, to)`: of whole days as far as there are any, of hours at both ends.
 *
 * @throws TooLargeError
 */
export async function readDurations(
  client: PoolClient,
  { from, to }: Pick<GetDurations, 'from' | 'to'>,
): Promise<Pick<Durations, 'toPay' | 'toShip'>> {
  const { rows } = await client.query<{
    step: Step;
    orders: bigint;
    sum_ms: string;
    min_ms: bigint;
    max_ms: bigint;
    sketch: Buffer;
  }>({
    name: 'read-durations',
    text: `with days as (
             select date_trunc('day', $1::timestamptz + interval '1 day' - interval '1 microsecond', 'UTC') as first,
                    date_trunc('day', $2::timestamptz, 'UTC') as last
           )
           select step, orders, sum_ms, min_ms, max_ms, sketch
             from durations_by_time, days
            where start >= $1 and start < $2
              and (bucket = 'day') = (start >= first and start < last)`,
    values: [from, to],
  });
  const of = (step: Step): Duration => {
    const { orders, sumMs, minMs, maxMs, sketch } = rows
      .filter((row) => row.step === step)
      .reduce((all, row) => {
        all.sketch.merge(DDSketch.fromProto(row.sketch) as DDSketch);
        return {
          orders: all.orders + Number(row.orders),
          sumMs: all.sumMs + BigInt(row.sum_ms),
          minMs: Math.min(all.minMs, Number(row.min_ms)),
          maxMs: Math.max(all.maxMs, Number(row.max_ms)),
          sketch: all.sketch,
        };
      }, empty());
    if (orders === 0)
      return { orders, averageMs: null, minMs: null, p50Ms: null, p95Ms: null, p99Ms: null, maxMs: null };
    const quantile = (share: number) => Math.min(maxMs, Math.max(minMs, Math.round(sketch.getValueAtQuantile(share))));
    return {
      orders,
      averageMs: toSafeInteger(sumMs / BigInt(orders), 'the average duration'),
      minMs,
      p50Ms: quantile(0.5),
      p95Ms: quantile(0.95),
      p99Ms: quantile(0.99),
      maxMs,
    };
  };
  return { toPay: of('paid'), toShip: of('shipped') };
}
