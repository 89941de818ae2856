import type { GetTop, TopCustomer } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { rowOf, toSafeInteger } from '../queries/too-large.ts';
import { readSums, type Projection } from './projection.ts';
import { DAY_MS, isoOf, startMs } from './time-buckets.ts';

interface Row {
  day: number;
  currency: string;
  customerId: string;
  orders: number;
  amount: bigint;
}

/** What each customer ordered on each day: the totals of the orders as they were placed. */
export const customers: Projection = {
  name: 'customers',
  version: 1,
  tables: ['customers_by_day'],

  async apply(client, partition, events) {
    const rows = fold(events);
    if (rows.length === 0) return;
    await client.query({
      name: 'write-customers',
      text: `insert into customers_by_day as c (partition, day, currency, customer_id, orders, amount)
             select $1, * from unnest($2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::numeric[])
             on conflict (day, currency, customer_id, partition) do update set
               orders = c.orders + excluded.orders, amount = c.amount + excluded.amount`,
      values: [
        partition,
        rows.map(({ day }) => isoOf(day)),
        rows.map(({ currency }) => currency),
        rows.map(({ customerId }) => customerId),
        rows.map(({ orders }) => orders),
        rows.map(({ amount }) => amount),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'customers-totals',
      text: `select count(distinct (day, currency, customer_id)) as customers, sum(orders) as orders, sum(amount) as amount
               from customers_by_day`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each customer's days. */
export function fold(events: readonly CountedEvent[]): Row[] {
  const sums = new Map<string, Row>();
  for (const { at, event } of events) {
    if (event.type !== 'order.placed.v1') continue;
    const { currency, customerId, total } = event.data;
    const day = startMs(at, DAY_MS);
    const key = `${day} ${currency} ${customerId}`;
    let row = sums.get(key);
    if (row === undefined) sums.set(key, (row = { day, currency, customerId, orders: 0, amount: 0n }));
    row.orders += 1;
    row.amount += BigInt(total);
  }
  return [...sums.values()];
}

/**
 * Of each currency the customers with the largest amounts on the days that begin in `[from, to)`, the largest first.
 *
 * @throws TooLargeError of a count
 */
export async function readTopCustomers(
  client: PoolClient,
  { from, to, currency, limit }: Pick<GetTop, 'from' | 'to' | 'currency' | 'limit'>,
): Promise<TopCustomer[]> {
  const { rows } = await client.query<Record<'currency' | 'customer_id' | 'orders' | 'amount', string>>({
    name: 'read-top-customers',
    text: `select currency, customer_id, orders, amount
             from (select currency, customer_id, sum(orders) as orders, sum(amount) as amount,
                          row_number() over (partition by currency order by sum(amount) desc, customer_id collate "C") as place
                     from customers_by_day
                    where day >= $1 and day < $2 and ($3::text is null or currency = $3)
                    group by currency, customer_id) as c
            where place <= $4 order by currency collate "C", place`,
    values: [from, to, currency ?? null, limit],
  });
  return rows.map((row) => ({
    currency: row.currency as Currency,
    customerId: row.customer_id,
    orders: toSafeInteger(row.orders, `the orders of ${row.customer_id}`),
    ...rowOf({ amount: row.amount }),
  }));
}
