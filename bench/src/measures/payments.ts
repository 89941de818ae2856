import { until, type Running } from '../processes.ts';
import type { Systems } from '../system.ts';

/** What the provider takes to answer: about what a real one does at its best. */
const PROVIDER_MS = 50;
const TIMEOUT_MS = 120_000;

export interface PaymentsResult {
  workers: number;
  /** From the first to the last of the backlog. */
  paymentsPerSecond: number;
  /** From the placing of an express order to its payment, while the backlog stands. */
  expressWaitP50Ms: number;
  expressWaitP99Ms: number;
  /** How many standard orders still stood unpaid when the last express one was paid. */
  backlogLeft: number;
}

/**
 * How fast a backlog of standard orders is paid, and how long express orders wait that are placed while it stands. Both are
 * read from the events' own times. The provider answers after 50 ms.
 */
export async function measurePayments(
  systems: Systems,
  { workers, backlog, express, prefetch }: { workers: number; backlog: number; express: number; prefetch?: number },
): Promise<PaymentsResult> {
  const suffix = `pay-${workers}-${prefetch ?? 'default'}`;
  const database = systems.database(suffix);
  await systems.setUp(suffix);
  await systems.processes.run(`${suffix}-payments-setup`, 'apps/payments', 'src/setup.ts', systems.environment(suffix));
  const started: Running[] = [];
  try {
    const provider = await systems.service(suffix, 'provider');
    const orders = await systems.service(suffix, 'orders', { ORDERS_JOBS: 'on', ORDERS_RELAY: 'off' });
    const gateway = await systems.service(suffix, 'gateway');
    started.push(provider.running, orders.running, gateway.running);
    const body = JSON.stringify({ behaviour: 'approve', delayMs: PROVIDER_MS });
    await fetch(`${provider.url}/control`, { method: 'PUT', body });
    await place(gateway.url, backlog, 'standard');
    const count = async (where: string) => {
      const text = `select count(*)::integer as count from orders where ${where}`;
      return (await systems.query<{ count: number }>(database, text))[0]?.count ?? 0;
    };
    await until('every job is published', async () => {
      const text = `select 1 from followers where name = 'payment-jobs' and position = (select max(position) from events)`;
      return (await systems.query(database, text)).length === 1;
    });
    const more = {
      PROVIDER_URL: provider.url,
      ...(prefetch === undefined ? {} : { PAYMENTS_PREFETCH: String(prefetch) }),
    };
    const instances = await Promise.all(
      Array.from({ length: workers }, () => systems.service(suffix, 'payments', more)),
    );
    started.push(...instances.map(({ running }) => running));
    await until('payments have begun', async () => (await count(`status = 'paid'`)) > 0, { everyMs: 5 });
    await place(gateway.url, express, 'express');
    const options = { timeoutMs: TIMEOUT_MS };
    await until('everything is paid', async () => (await count(`status = 'placed'`)) === 0, options);
    return { workers, ...(await readResult(systems, database)) };
  } finally {
    await Promise.all(started.map((one) => one.stop()));
  }
}

async function place(url: string, count: number, delivery: string): Promise<void> {
  const lines = [{ sku: 'A-1', quantity: 1, unitPrice: 100 }];
  const body = JSON.stringify({ customerId: 'c-bench', currency: 'EUR', delivery, lines });
  const one = async () => {
    const response = await fetch(`${url}/v1/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    await response.text();
    if (response.status !== 201) throw new Error(`Not placed: ${response.status}`);
  };
  for (let left = count; left > 0; left -= 100) await Promise.all(Array.from({ length: Math.min(100, left) }, one));
}

async function readResult(systems: Systems, database: string): Promise<Omit<PaymentsResult, 'workers'>> {
  const [row] = await systems.query<Omit<PaymentsResult, 'workers'>>(
    database,
    `with p as (select o.state->>'delivery' as delivery, e.at as paid_at, (o.state->>'placedAt')::timestamptz as placed_at
                  from events e join orders o on o.id = e.order_id
                 where e.type = 'order.payment-recorded.v1'),
     w as (select extract(epoch from paid_at - placed_at) * 1000 as ms, paid_at from p where delivery = 'express')
     select (count(*) / extract(epoch from max(paid_at) - min(paid_at)))::double precision as "paymentsPerSecond",
            (select percentile_cont(0.5) within group (order by ms) from w) as "expressWaitP50Ms",
            (select percentile_cont(0.99) within group (order by ms) from w) as "expressWaitP99Ms",
            (select count(*)::integer from p where delivery = 'standard' and paid_at > (select max(paid_at) from w))
              as "backlogLeft"
       from p`,
  );
  if (row === undefined) throw new Error('Nothing was paid');
  return row;
}
