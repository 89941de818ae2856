import type { Summary } from '@tandem/contracts/analytics-queries';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { toSafeInteger } from '../queries/too-large.ts';
import { readSums, type Projection } from './projection.ts';

export type OrderCounts = Summary['orders'];

/** How many orders ever got to each state. An order is shipped with the shipment after which nothing remains. */
export const orderCounts: Projection = {
  name: 'order-counts',
  version: 1,
  tables: ['order_counts'],

  async apply(client, partition, events) {
    const { placed, paid, shipped, delivered, cancelled } = fold(events);
    if (placed + paid + shipped + delivered + cancelled === 0) return;
    await client.query({
      name: 'write-order-counts',
      text: `insert into order_counts as c (partition, placed, paid, shipped, delivered, cancelled)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (partition) do update set
               placed = c.placed + excluded.placed,
               paid = c.paid + excluded.paid,
               shipped = c.shipped + excluded.shipped,
               delivered = c.delivered + excluded.delivered,
               cancelled = c.cancelled + excluded.cancelled`,
      values: [partition, placed, paid, shipped, delivered, cancelled],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'order-counts-totals',
      text: `select sum(placed) as placed, sum(paid) as paid, sum(shipped) as shipped, sum(delivered) as delivered,
                    sum(cancelled) as cancelled
               from order_counts`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each count. */
export function fold(events: readonly CountedEvent[]): OrderCounts {
  const counts: OrderCounts = { placed: 0, paid: 0, shipped: 0, delivered: 0, cancelled: 0 };
  for (const event of events) count(event, counts);
  return counts;
}

function count({ event }: CountedEvent, counts: OrderCounts): void {
  switch (event.type) {
    case 'order.placed.v1':
      counts.placed += 1;
      return;
    case 'order.payment-recorded.v1':
      counts.paid += 1;
      return;
    case 'order.shipped.v1':
      if (event.data.complete) counts.shipped += 1;
      return;
    case 'order.delivered.v1':
      counts.delivered += 1;
      return;
    case 'order.cancelled.v1':
      counts.cancelled += 1;
      return;
  }
}

/** The counts over all partitions. @throws TooLargeError */
export async function readOrderCounts(client: PoolClient): Promise<OrderCounts> {
  const { rows } = await client.query<Record<keyof OrderCounts, string>>({
    name: 'read-order-counts',
    text: `select coalesce(sum(placed), 0) as placed, coalesce(sum(paid), 0) as paid, coalesce(sum(shipped), 0) as shipped,
                  coalesce(sum(delivered), 0) as delivered, coalesce(sum(cancelled), 0) as cancelled
             from order_counts`,
  });
  const sum = (name: keyof OrderCounts) => toSafeInteger(rows[0]?.[name] ?? '0', `the number of ${name} orders`);
  return {
    placed: sum('placed'),
    paid: sum('paid'),
    shipped: sum('shipped'),
    delivered: sum('delivered'),
    cancelled: sum('cancelled'),
  };
}
