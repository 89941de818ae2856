import type { GetTop, TopProduct } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { rowOf, toSafeInteger } from '../queries/too-large.ts';
import { readSums, type Projection } from './projection.ts';
import { DAY_MS, isoOf, startMs } from './time-buckets.ts';

interface Row {
  day: number;
  currency: string;
  sku: string;
  orders: number;
  quantity: number;
  amount: bigint;
}

/** What was ordered of each product on each day, as it was placed: quantities, and quantity × unit price. */
export const products: Projection = {
  name: 'products',
  version: 1,
  tables: ['products_by_day'],

  async apply(client, partition, events) {
    const rows = fold(events);
    if (rows.length === 0) return;
    await client.query({
      name: 'write-products',
      text: `insert into products_by_day as p (partition, day, currency, sku, orders, quantity, amount)
             select $1, * from unnest($2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::numeric[], $7::numeric[])
             on conflict (day, currency, sku, partition) do update set
               orders = p.orders + excluded.orders,
               quantity = p.quantity + excluded.quantity,
               amount = p.amount + excluded.amount`,
      values: [
        partition,
        rows.map(({ day }) => isoOf(day)),
        rows.map(({ currency }) => currency),
        rows.map(({ sku }) => sku),
        rows.map(({ orders }) => orders),
        rows.map(({ quantity }) => quantity),
        rows.map(({ amount }) => amount),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'products-totals',
      text: `select count(distinct (day, currency, sku)) as products, sum(orders) as orders, sum(quantity) as quantity,
                    sum(amount) as amount
               from products_by_day`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each product's days. */
export function fold(events: readonly CountedEvent[]): Row[] {
  const sums = new Map<string, Row>();
  for (const { at, event } of events) {
    if (event.type !== 'order.placed.v1') continue;
    const { currency, lines } = event.data;
    const day = startMs(at, DAY_MS);
    // An order with two lines of one product is one order of it.
    const counted = lines.length === 1 ? undefined : new Set<string>();
    for (const { sku, quantity, unitPrice } of lines) {
      const key = `${day} ${currency} ${sku}`;
      let row = sums.get(key);
      if (row === undefined) sums.set(key, (row = { day, currency, sku, orders: 0, quantity: 0, amount: 0n }));
      if (counted?.has(sku) !== true) row.orders += 1;
      counted?.add(sku);
      row.quantity += quantity;
      row.amount += BigInt(quantity) * BigInt(unitPrice);
    }
  }
  return [...sums.values()];
}

/**
 * Of each currency the products with the largest amounts on the days that begin in `[from, to)`, the largest first.
 *
 * @throws TooLargeError of a count
 */
export async function readTopProducts(
  client: PoolClient,
  { from, to, currency, limit }: Pick<GetTop, 'from' | 'to' | 'currency' | 'limit'>,
): Promise<TopProduct[]> {
  const { rows } = await client.query<Record<'currency' | 'sku' | 'orders' | 'quantity' | 'amount', string>>({
    name: 'read-top-products',
    text: `select currency, sku, orders, quantity, amount
             from (select currency, sku, sum(orders) as orders, sum(quantity) as quantity, sum(amount) as amount,
                          row_number() over (partition by currency order by sum(amount) desc, sku collate "C") as place
                     from products_by_day
                    where day >= $1 and day < $2 and ($3::text is null or currency = $3)
                    group by currency, sku) as p
            where place <= $4 order by currency collate "C", place`,
    values: [from, to, currency ?? null, limit],
  });
  return rows.map((row) => ({
    currency: row.currency as Currency,
    sku: row.sku,
    orders: toSafeInteger(row.orders, `the orders of ${row.sku}`),
    ...rowOf({ quantity: row.quantity, amount: row.amount }),
  }));
}
