import { setTimeout as pause } from 'node:timers/promises';
import type { PaymentsPlan } from '../bench-options.ts';
import { until, type Environment, type Running } from '../processes.ts';
import { rounded } from '../statistics.ts';
import type { Systems } from '../system.ts';

/** What the provider takes to answer: about what a real one does at its best. */
const PROVIDER_MS = 50;
/** Between one express order and the next, so that they wait for what stands before them and not for each other. */
const EXPRESS_EVERY_MS = 10;
const TIMEOUT_MS = 120_000;

export interface PaymentsResult {
  workers: number;
  backlog: number;
  providerMs: number;
  /** From the first to the last of the backlog. */
  paymentsPerSecond: number;
  /** From the placing of an express order to its payment, while the backlog stands. */
  expressWaitP50Ms: number;
  expressWaitP99Ms: number;
  /** How many standard orders still stood unpaid when the last express one was paid: none, and it waited behind nothing. */
  backlogLeft: number;
}

/**
 * How fast a backlog of standard orders is paid, and how long express orders wait that are placed while it stands. Both are
 * read from the events' own times.
 */
export async function measurePayments(
  systems: Systems,
  { workers: counts, ...load }: PaymentsPlan,
  print: (line: string) => void,
): Promise<PaymentsResult[]> {
  const results: PaymentsResult[] = [];
  for (const workers of counts) {
    const result = await measureOne(systems, workers, load);
    const { paymentsPerSecond, expressWaitP50Ms, expressWaitP99Ms, backlog, backlogLeft } = result;
    print(
      `payments: ${workers} × workers ${rounded(paymentsPerSecond)}/s; express p50 ${rounded(expressWaitP50Ms)} ms ` +
        `p99 ${rounded(expressWaitP99Ms)} ms, then ${backlogLeft} of ${backlog} standard ones were left`,
    );
    results.push(result);
  }
  return results;
}

async function measureOne(
  systems: Systems,
  workers: number,
  { backlog, express, prefetch }: Omit<PaymentsPlan, 'workers'>,
): Promise<PaymentsResult> {
  const suffix = `paid-${workers}`;
  const database = systems.database(suffix);
  const setUp = (service: string) =>
    systems.processes.run(`${suffix}-${service}-setup`, `apps/${service}`, 'src/setup.ts', systems.environment(suffix));
  await Promise.all([setUp('orders'), setUp('payments')]);
  const started: Running[] = [];
  const start = async (service: Parameters<Systems['service']>[1], more: Environment = {}) => {
    const { running, url } = await systems.service(suffix, service, more);
    started.push(running);
    return url;
  };
  try {
    const [provider, gateway] = await Promise.all([
      start('provider'),
      start('gateway'),
      start('orders', { ORDERS_JOBS: 'on', ORDERS_RELAY: 'off' }),
    ]);
    const body = JSON.stringify({ behaviour: 'approve', delayMs: PROVIDER_MS });
    await fetch(`${provider}/control`, { method: 'PUT', body });
    for (let left = backlog; left > 0; left -= 100)
      await Promise.all(Array.from({ length: Math.min(100, left) }, () => place(gateway, 'standard')));
    await until('every job is published', async () => {
      const text = `select 1 from followers where name = 'payment-jobs' and position = (select max(position) from events)`;
      return (await systems.query(database, text)).length === 1;
    });
    const settings: Environment = { PROVIDER_URL: provider };
    if (prefetch !== undefined) settings['PAYMENTS_PREFETCH'] = String(prefetch);
    const worker = () => start('payments', settings);
    await Promise.all(Array.from({ length: workers }, worker));
    const isAny = async (status: string) =>
      (await systems.query(database, 'select 1 from orders where status = $1 limit 1', [status])).length > 0;
    await until('payments have begun', () => isAny('paid'), { everyMs: 5 });
    for (let placed = 0; placed < express; placed += 1) {
      await place(gateway, 'express');
      await pause(EXPRESS_EVERY_MS);
    }
    await until('everything is paid', async () => !(await isAny('placed')), { timeoutMs: TIMEOUT_MS });
    return { workers, backlog, providerMs: PROVIDER_MS, ...(await readResult(systems, database)) };
  } finally {
    await Promise.all(started.map((one) => one.stop()));
  }
}

async function place(gateway: string, delivery: 'standard' | 'express'): Promise<void> {
  const lines = [{ sku: 'A-1', quantity: 1, unitPrice: 100 }];
  const response = await fetch(`${gateway}/v1/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ customerId: 'c-bench', currency: 'EUR', delivery, lines }),
  });
  await response.text();
  if (response.status !== 201) throw new Error(`Not placed: ${response.status}`);
}

type Measured = Omit<PaymentsResult, 'workers' | 'backlog' | 'providerMs'>;

async function readResult(systems: Systems, database: string): Promise<Measured> {
  const [row] = await systems.query<Measured>(
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
