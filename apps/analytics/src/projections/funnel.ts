import { FUNNEL_REASONS_MAX, type Funnel, type GetFunnel } from '@tandem/contracts/analytics-queries';
import type { OrderEvent } from '@tandem/contracts/order-events';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { toSafeInteger } from '../queries/too-large.ts';
import { readSums, type Projection } from './projection.ts';
import { HOUR_MS, isoOf, startMs } from './time-buckets.ts';

type Cause = Funnel['cancellations']['causes'][number]['cause'];
type Step = keyof Funnel['orders'];
interface Row {
  hour: number;
  step: Step;
  cause: string;
  reason: string;
  orders: number;
}

/** How many orders got to each state in each hour, and why they were cancelled. */
export const funnel: Projection = {
  name: 'funnel',
  version: 1,
  tables: ['funnel_by_hour'],

  async apply(client, partition, events) {
    const rows = fold(events);
    if (rows.length === 0) return;
    await client.query({
      name: 'write-funnel',
      text: `insert into funnel_by_hour as f (partition, hour, step, cause, reason, orders)
             select $1, * from unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::bigint[])
             on conflict (hour, step, cause, reason, partition) do update set orders = f.orders + excluded.orders`,
      values: [
        partition,
        rows.map(({ hour }) => isoOf(hour)),
        rows.map(({ step }) => step),
        rows.map(({ cause }) => cause),
        rows.map(({ reason }) => reason),
        rows.map(({ orders }) => orders),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'funnel-totals',
      text: `select count(distinct hour) as hours, count(distinct (cause, reason)) as reasons,
                    sum(orders) filter (where step = 'placed') as placed,
                    sum(orders) filter (where step = 'paid') as paid,
                    sum(orders) filter (where step = 'shipped') as shipped,
                    sum(orders) filter (where step = 'delivered') as delivered,
                    sum(orders) filter (where step = 'cancelled') as cancelled
               from funnel_by_hour`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each hour. */
export function fold(events: readonly CountedEvent[]): Row[] {
  const counts = new Map<string, Row>();
  for (const { at, event } of events) {
    const step = stepOf(event);
    if (step === undefined) continue;
    const hour = startMs(at, HOUR_MS);
    const [cause, reason] = event.type === 'order.cancelled.v1' ? whyOf(event.data) : ['', ''];
    const key = `${hour} ${step} ${cause} ${reason}`;
    const row = counts.get(key);
    if (row === undefined) counts.set(key, { hour, step, cause, reason, orders: 1 });
    else row.orders += 1;
  }
  return [...counts.values()];
}

/** The state that an order gets to. It is shipped with the shipment after which nothing remains. */
function stepOf(event: OrderEvent): Step | undefined {
  switch (event.type) {
    case 'order.placed.v1':
      return 'placed';
    case 'order.payment-recorded.v1':
      return 'paid';
    case 'order.shipped.v1':
      return event.data.complete ? 'shipped' : undefined;
    case 'order.delivered.v1':
      return 'delivered';
    case 'order.cancelled.v1':
      return 'cancelled';
    default:
      return undefined;
  }
}

const whyOf = ({ cause, reason = '' }: { cause: string; reason?: string | undefined }) => [cause, reason] as const;

/** How many orders got to each state in the hours that begin in `[from, to)`, and why. @throws TooLargeError */
export async function readSteps(
  client: PoolClient,
  { from, to }: Pick<GetFunnel, 'from' | 'to'>,
): Promise<Pick<Funnel, 'orders'> & Pick<Funnel['cancellations'], 'causes'>> {
  const { rows } = await client.query<{ step: Step; cause: Cause | ''; orders: string }>({
    name: 'read-funnel',
    text: `select step, cause, sum(orders) as orders from funnel_by_hour where hour >= $1 and hour < $2
            group by step, cause order by cause collate "C"`,
    values: [from, to],
  });
  const orders = { placed: 0, paid: 0, shipped: 0, delivered: 0, cancelled: 0 };
  const causes: Funnel['cancellations']['causes'] = [];
  for (const row of rows) {
    const count = toSafeInteger(row.orders, `the number of ${row.step} orders`);
    orders[row.step] += count;
    if (row.cause !== '') causes.push({ cause: row.cause, orders: count });
  }
  return { orders, causes };
}

/** What happened in the hours that begin in `[from, to)`. @throws TooLargeError */
export async function readFunnel(
  client: PoolClient,
  { from, to }: Pick<GetFunnel, 'from' | 'to'>,
): Promise<Pick<Funnel, 'orders' | 'rates' | 'cancellations'>> {
  const { orders, causes } = await readSteps(client, { from, to });
  const { rows: reasons } = await client.query<{ cause: Cause; reason: string; orders: string }>({
    name: 'read-funnel-reasons',
    text: `select cause, reason, sum(orders) as orders from funnel_by_hour
            where hour >= $1 and hour < $2 and reason <> ''
            group by cause, reason order by sum(orders) desc, cause collate "C", reason collate "C" limit $3`,
    values: [from, to, FUNNEL_REASONS_MAX],
  });
  const rate = (count: number) => (orders.placed === 0 ? null : Math.round((count / orders.placed) * 10_000) / 10_000);
  return {
    orders,
    rates: {
      paid: rate(orders.paid),
      shipped: rate(orders.shipped),
      delivered: rate(orders.delivered),
      cancelled: rate(orders.cancelled),
    },
    cancellations: { causes, reasons: reasons.map((row) => ({ ...row, orders: Number(row.orders) })) },
  };
}
