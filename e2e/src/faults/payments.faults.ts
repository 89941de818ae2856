import type { Order } from '@tandem/contracts/order';
import { topology } from '@tandem/contracts/topology';
import { connect } from 'amqplib';
import pg from 'pg';
import { ROOT, type Environment, type OwnService } from './services.testing.ts';
import { startSystem, type System } from './system.testing.ts';
import { until } from './waiting.testing.ts';

let system: System;
let gateway: OwnService;
let provider: OwnService;
/** Short, so that what is lost is soon looked for. */
const UNSETTLED = { ORDERS_JOBS: 'on', ORDERS_UNSETTLED_MS: '2000' };

beforeAll(async () => {
  system = await startSystem();
  [gateway, provider] = await Promise.all([
    system.start('gateway'),
    system.start('provider'),
    system.start('orders', UNSETTLED),
  ]);
}, 120_000);

afterAll(() => system?.close());

const paymentsEnvironment = (): Environment => ({ PROVIDER_URL: provider.url, PAYMENTS_SWEEP_AFTER_MS: '2000' });
const startPayments = (more: Environment = {}) => system.start('payments', { ...paymentsEnvironment(), ...more });

const tell = async (behaviour: object) => {
  const response = await fetch(`${provider.url}/control`, { method: 'PUT', body: JSON.stringify(behaviour) });
  expect(response.status).toBe(200);
};

interface Entry {
  id: string;
  reference: string;
  status: string;
  request: { kind: 'charge' | 'refund'; amount: number; charge?: string };
}

/** Everything that the provider has decided, by order. */
async function ledger(): Promise<Map<string, Entry[]>> {
  const { entries } = (await (await fetch(`${provider.url}/control`)).json()) as { entries: Entry[] };
  return Map.groupBy(entries, ({ reference }) => reference.slice(0, 36));
}

async function place(delivery = 'standard'): Promise<string> {
  let id: string | undefined;
  await until('an order is placed', async () => {
    const response = await fetch(`${gateway.url}/v1/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        customerId: 'c-1',
        currency: 'EUR',
        delivery,
        lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }],
      }),
    });
    ({ id } = (await response.json()) as { id?: string });
    return response.status === 201;
  });
  return id as string;
}

const read = async (id: string) => (await (await fetch(`${gateway.url}/v1/orders/${id}`)).json()) as Order;
const cancel = (id: string) => fetch(`${gateway.url}/v1/orders/${id}/cancel`, { method: 'POST' });
const isPaid = async (id: string) => (await read(id)).status === 'paid';

/** Whether a worker has set about its payment. */
async function hasBegun(id: string): Promise<boolean> {
  const url = new URL(system.environment['POSTGRES_URL'] ?? '');
  url.pathname = topology('faults').databases.payments;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    return (await client.query('select 1 from payments where key = $1', [`${id}:authorise`])).rowCount === 1;
  } finally {
    await client.end();
  }
}

/** What the provider holds of an order after all: charges less refunds. */
const balanceOf = (entries: readonly Entry[]) =>
  entries.reduce((sum, { request, status }) => {
    if (status !== 'approved') return sum;
    return request.kind === 'charge' ? sum + request.amount : sum - request.amount;
  }, 0);

describe('invariant 15: a worker that is killed', () => {
  const client = {
    module: `file://${ROOT}/libs/transports/src/rabbitmq/rabbitmq-client.ts`,
    class: 'RabbitMqClient',
    method: 'request',
    first: 'order.record-payment',
    call: 1,
  };
  const points: [string, object][] = [
    [
      'after the provider has said yes, before that is written',
      { sql: '^update payments set outcome', when: 'before' },
    ],
    ['before orders is told', { ...client, when: 'before' }],
    ['after orders has answered', { ...client, when: 'after' }],
    ['after orders has answered, before that is written', { sql: '^update payments set told_at', when: 'before' }],
  ];

  it.each(points)('%s: one charge, and the order is paid', async (_name, point) => {
    await tell({ behaviour: 'approve' });
    const crashing = await system.launch('payments', {
      ...paymentsEnvironment(),
      CRASH_AT: JSON.stringify({ call: 1, ...point }),
    });
    await crashing.untilReady();
    const id = await place();
    expect(await crashing.exited).toBeNull();
    expect((await ledger()).get(id)).toHaveLength(1);
    const next = await startPayments();
    await until('it is paid', () => isPaid(id));
    await until('it has come to rest', async () => (await next.readiness()).status === 'ok');
    const entries = (await ledger()).get(id) ?? [];
    expect(entries).toHaveLength(1);
    expect(await read(id)).toMatchObject({ version: 2, paid: { paymentId: entries[0]?.id, amount: 2_500 } });
    await next.stop();
  });
});

describe('invariant 15: money of a cancelled order', () => {
  it('goes back when the yes comes after the cancellation', async () => {
    const payments = await startPayments();
    await tell({ behaviour: 'slow', delayMs: 1_500 });
    const id = await place();
    await until('it is asked for', () => hasBegun(id));
    expect((await cancel(id)).status).toBe(200);
    await tell({ behaviour: 'approve' });
    await until('nothing is left of it', async () => {
      const order = await read(id);
      const entries = (await ledger()).get(id) ?? [];
      if (order.status !== 'cancelled') return false;
      const isRecorded = order.refunds.length > 0 && order.refunds.every(({ recordedAt }) => recordedAt !== undefined);
      return entries.length === 2 && balanceOf(entries) === 0 && isRecorded;
    });
    await payments.stop();
  });
});

describe('invariants 6 and 15: RabbitMQ loses everything', () => {
  it('and every order ends paid or cancelled, charged once or not at all', async () => {
    const { queues, exchanges } = topology('faults');
    const wipe = async () => {
      const connection = await connect(system.environment['RABBITMQ_URL'] ?? '');
      const channel = await connection.createChannel();
      for (const name of Object.values(queues)) if (name.includes('payments')) await channel.deleteQueue(name);
      await channel.deleteExchange(exchanges.paymentJobs);
      await channel.deleteExchange(exchanges.paymentsByMethod);
      await connection.close();
    };
    await tell({ behaviour: 'slow', delayMs: 300 });
    const workers = await Promise.all([startPayments(), startPayments()]);
    const ids: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      ids.push(
        ...(await Promise.all(Array.from({ length: 40 }, (_, index) => place(index % 2 ? 'express' : 'standard')))),
      );
      await Promise.all(ids.slice(-5).map(cancel));
      await wipe();
      workers[round % 2]?.kill('SIGKILL');
      workers[round % 2] = await startPayments();
    }
    await tell({ behaviour: 'approve' });
    await until(
      'every order is settled',
      async () => {
        const entries = await ledger();
        const orders = await Promise.all(ids.map(read));
        return orders.every((order) => {
          const own = entries.get(order.id) ?? [];
          if (order.status === 'paid') return own.length === 1 && balanceOf(own) === 2_500;
          return order.status === 'cancelled' && balanceOf(own) === 0;
        });
      },
      { timeoutMs: 90_000, everyMs: 500 },
    );
    for (const own of (await ledger()).values())
      expect(own.filter(({ request }) => request.kind === 'charge').length).toBeLessThanOrEqual(1);
    expect(await Promise.all(workers.map((worker) => worker.readiness()))).toMatchObject([
      { status: 'ok' },
      { status: 'ok' },
    ]);
  });
});
