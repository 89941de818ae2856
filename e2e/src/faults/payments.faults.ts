import type { Order } from '@tandem/contracts/order';
import { topology } from '@tandem/contracts/topology';
import { connect } from 'amqplib';
import { databaseOf } from './log.testing.ts';
import { ROOT, type Environment, type OwnService } from './services.testing.ts';
import { startSystem, untilKilled, type System } from './system.testing.ts';
import { pause, until } from './waiting.testing.ts';

let system: System;
let gateway: OwnService;
let provider: OwnService;
let orders: OwnService;
/** Short, so that what is lost is soon looked for. */
const UNSETTLED = { ORDERS_JOBS: 'on', ORDERS_UNSETTLED_MS: '2000' };

beforeAll(async () => {
  system = await startSystem();
  [gateway, provider, orders] = await Promise.all([
    system.start('gateway'),
    system.start('provider'),
    system.start('orders', UNSETTLED),
  ]);
}, 300_000);

// One that is left would do the work of those that are to die.
afterEach(() => system.end('payments'));
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

async function place(delivery = 'standard', customerId = 'c-1'): Promise<string> {
  let id: string | undefined;
  await until('an order is placed', async () => {
    const response = await fetch(`${gateway.url}/v1/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        customerId,
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

/** How far its payment has come: undefined before a worker has set about it. */
async function progressOf(id: string): Promise<'begun' | 'told' | undefined> {
  const payments = await databaseOf(system, 'payments');
  try {
    const text = 'select told_at is not null as told from payments where key = $1';
    const { rows } = await payments.query<{ told: boolean }>(text, [`${id}:authorise`]);
    return rows[0] && (rows[0].told ? 'told' : 'begun');
  } finally {
    await payments.end();
  }
}

/** What the provider holds of an order after all: charges less refunds. */
const balanceOf = (entries: readonly Entry[]) =>
  entries.reduce((sum, { request, status }) => {
    if (status !== 'approved') return sum;
    return request.kind === 'charge' ? sum + request.amount : sum - request.amount;
  }, 0);

describe('invariant 23: a worker that is killed', () => {
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
    await untilKilled(crashing);
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

/** What is or was parked of an order. */
async function parkedOf(orderId: string): Promise<{ id: string; settled_as: string | null }[]> {
  const payments = await databaseOf(system, 'payments');
  try {
    const text = 'select id, settled_as from parked where order_id = $1 order by id';
    return (await payments.query<{ id: string; settled_as: string | null }>(text, [orderId])).rows;
  } finally {
    await payments.end();
  }
}

/** Asks again while the gateway has not noticed yet that payments is back: 503. */
async function act(row: string, what: 'redrive' | 'drop'): Promise<number> {
  let status = 503;
  await until('somebody takes it', async () => {
    const url = `${gateway.url}/v1/admin/parked/payments-${row}/${what}`;
    const body = JSON.stringify({ reason: 'a test' });
    status = (await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).status;
    return status !== 503;
  });
  return status;
}
const redrive = (row: string) => act(row, 'redrive');

/** Takes everything off a queue, as if the broker had lost it. Resolves with how much that was. */
async function purge(queue: string): Promise<number> {
  const connection = await connect(system.environment['RABBITMQ_URL'] ?? '');
  try {
    return (await (await connection.createChannel()).purgeQueue(queue)).messageCount;
  } finally {
    await connection.close();
  }
}

describe('invariant 23: a worker that is killed while it', () => {
  const { queues } = topology('faults');
  const REFUSES = { behaviour: 'answer', status: 422 };
  const crashing = async (point: object) => {
    const CRASH_AT = JSON.stringify({ call: 1, ...point });
    const worker = await system.launch('payments', { ...paymentsEnvironment(), CRASH_AT });
    await worker.untilReady();
    return worker;
  };

  it.each<[string, object]>([
    ['before its row is written', { sql: '^insert into parked', when: 'before' }],
    ['between its row and its mark', { sql: '^insert into payments .*, parked_id', when: 'before' }],
    ['before both are committed', { sql: '^commit', when: 'before' }],
    ['after both are committed, before it is acked', { sql: '^commit', when: 'after' }],
  ])('parks a job, %s, leaves it where somebody sees it and can redrive it', async (_name, point) => {
    await tell(REFUSES);
    const worker = await crashing(point);
    const id = await place();
    await untilKilled(worker);
    const next = await startPayments();
    await until('it is parked', async () => (await parkedOf(id)).length > 0);
    expect((await ledger()).get(id)).toBeUndefined();
    await tell({ behaviour: 'approve' });
    for (const row of await parkedOf(id)) expect(await redrive(row.id)).toBe(200);
    await until('it is paid', () => isPaid(id));
    expect((await ledger()).get(id)).toHaveLength(1);
    await next.stop();
  });

  it.each<[string, object]>([
    ['after its mark is gone', { sql: '^update payments set parked_id = null', when: 'after' }],
    ['after it is on its queue, before its row is settled', { sql: "set settled_as = 'redriven'", when: 'before' }],
  ])('redrives a job, %s, does not keep it from running', async (_name, point) => {
    await tell(REFUSES);
    const worker = await crashing(point);
    const id = await place();
    await until('it is parked', async () => (await parkedOf(id)).length === 1);
    await tell({ behaviour: 'approve' });
    const [row] = await parkedOf(id);
    await redrive(row?.id ?? '');
    await untilKilled(worker);
    const next = await startPayments();
    await until('it is paid', () => isPaid(id));
    expect((await ledger()).get(id)).toHaveLength(1);
    expect(await parkedOf(id)).toEqual([{ id: row?.id, settled_as: null }]);
    // It has run: its row is no news any more, and would stay in readiness.
    expect(await act(row?.id ?? '', 'drop')).toBe(200);
    await next.stop();
  });

  it('defers a job that the provider throttles, before it waits, loses nothing', async () => {
    await tell({ behaviour: 'answer', status: 429, retryAfter: '1' });
    const worker = await crashing({ sql: '^update payments set wait_until', when: 'after' });
    const id = await place();
    await untilKilled(worker);
    await tell({ behaviour: 'approve' });
    const next = await startPayments();
    await until('it is paid', () => isPaid(id));
    expect((await ledger()).get(id)).toHaveLength(1);
    expect(await parkedOf(id)).toEqual([]);
    await next.stop();
  });

  it('sweeps what was charged and never told, before it publishes it again, forgets no money', async () => {
    await tell({ behaviour: 'approve' });
    const id = await place();
    expect((await cancel(id)).status).toBe(200);
    await until('its job is there', async () => (await purge(queues.paymentsCard)) > 0);
    const key = `${id}:authorise`;
    const money = { amount: 2_500, currency: 'EUR', method: 'card' };
    const charged = await fetch(`${provider.url}/v1/charges`, {
      method: 'POST',
      headers: { 'idempotency-key': key },
      body: JSON.stringify(money),
    });
    const outcome = { status: 'approved', id: ((await charged.json()) as Entry).id };
    const data = { orderId: id, ...money, delivery: 'standard', since: new Date().toISOString() };
    const payments = await databaseOf(system, 'payments');
    await payments.query(
      `insert into payments (key, kind, data, outcome, begun_at) values ($1, 'authorise', $2, $3, now() - interval '1 hour')`,
      [key, JSON.stringify(data), JSON.stringify(outcome)],
    );
    await payments.end();
    const worker = await system.launch('payments', {
      ...paymentsEnvironment(),
      CRASH_AT: JSON.stringify({ sql: '^update payments set swept_at', when: 'after', call: 1 }),
    });
    await untilKilled(worker);
    const next = await startPayments();
    await until('the money goes back', async () => balanceOf((await ledger()).get(id) ?? []) === 0);
    await until('orders knows', async () => (await read(id)).refundStatus === 'full');
    await next.stop();
  });
});

describe('invariant 23: money of a cancelled order', () => {
  it('is not taken when the order is cancelled while the provider is away', async () => {
    await tell({ behaviour: 'answer', status: 503 });
    // What was asked for so long ago is decided.
    const payments = await startPayments({ PROVIDER_TIMEOUT_MS: '300' });
    const [id, other] = [await place(), await place()];
    await until('it is asked for', async () => (await progressOf(id)) !== undefined);
    await until('the provider is left alone', async () => {
      const { checks } = await payments.readiness();
      return checks['provider']?.status === 'degraded';
    });
    expect((await cancel(id)).status).toBe(200);
    await tell({ behaviour: 'approve' });
    await until('the other is paid', () => isPaid(other));
    await until('nothing is left to do', async () => (await progressOf(id)) === 'told');
    expect((await ledger()).get(id)).toBeUndefined();
    expect(await read(id)).toMatchObject({ status: 'cancelled', refunds: [] });
    await payments.stop();
  });

  it('goes back when the yes comes after the cancellation', async () => {
    const payments = await startPayments();
    await tell({ behaviour: 'slow', delayMs: 1_500 });
    const id = await place();
    await until('it is asked for', async () => (await progressOf(id)) !== undefined);
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

describe('invariants 6 and 23: RabbitMQ loses everything', () => {
  const { queues, exchanges } = topology('faults');
  const deleteQueues = async () => {
    const connection = await connect(system.environment['RABBITMQ_URL'] ?? '');
    const channel = await connection.createChannel();
    for (const name of Object.values(queues)) if (name.includes('payments')) await channel.deleteQueue(name);
    await channel.deleteExchange(exchanges.paymentJobs);
    await channel.deleteExchange(exchanges.paymentsByMethod);
    await connection.close();
  };
  const loseDisk = async () => {
    const { rabbitmq } = system.servers;
    rabbitmq.kill();
    rabbitmq.wipe();
    await rabbitmq.start();
  };

  it('its queues under it, then twice its disk, and every order ends paid or cancelled, charged once or not at all', async () => {
    await tell({ behaviour: 'slow', delayMs: 300 });
    const workers = await Promise.all([startPayments(), startPayments()]);
    const ids: string[] = [];
    for (const [round, lose] of [deleteQueues, loseDisk, loseDisk].entries()) {
      ids.push(
        ...(await Promise.all(Array.from({ length: 40 }, (_, index) => place(index % 2 ? 'express' : 'standard')))),
      );
      await Promise.all(ids.slice(-5).map(cancel));
      await lose();
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
    await until('both workers are well', async () =>
      (await Promise.all(workers.map((worker) => worker.readiness()))).every(({ status }) => status === 'ok'),
    );
    await Promise.all(workers.map((worker) => worker.stop()));
  });
});

describe('invariant 21: the deadlines of payments', () => {
  const DEADLINE_MS = 3_000;
  const startOrders = () =>
    system.start('orders', { ORDERS_JOBS: 'off', PAYMENT_DEADLINE_MS: String(DEADLINE_MS), ORDERS_RELAY: 'off' });
  const customerId = 'c-late';
  /** What became of each order: how many are still placed, and the causes of those that are cancelled. */
  const endings = async () => {
    const orders = await databaseOf(system, 'orders');
    try {
      const { rows } = await orders.query<{ id: string; ends: string[] }>(
        `select o.id, array_remove(array_agg(e.type || ' ' || (e.data ->> 'cause')), null) as ends
           from orders o join events e on e.order_id = o.id where o.customer_id = $1 group by o.id`,
        [customerId],
      );
      return rows.map(({ ends }) => ends);
    } finally {
      await orders.end();
    }
  };
  const isOver = (ends: string[]) => ends.length > 0;

  it('fire once for each order, though the instance that leads is killed, and then every instance', async () => {
    // Of those before, whose deadline is a day, none may lead.
    await orders.stop();
    const leader = await startOrders();
    const others = await Promise.all([startOrders(), startOrders()]);
    const placing = Array.from({ length: 80 }, async (_, index) => {
      await pause(index * 50);
      return place('standard', customerId);
    });
    await until('the first are cancelled', async () => (await endings()).some(isOver));
    leader.kill('SIGKILL');
    await Promise.all(placing);
    expect((await endings()).every(isOver)).toBe(false);
    await until('another instance has cancelled the rest', async () => (await endings()).every(isOver));

    await Promise.all(Array.from({ length: 20 }, () => place('standard', customerId)));
    for (const one of others) one.kill('SIGKILL');
    await pause(DEADLINE_MS);
    expect((await endings()).every(isOver)).toBe(false);
    await startOrders();
    await until('those whose deadline passed while nobody ran are cancelled', async () =>
      (await endings()).every(isOver),
    );
    const all = await endings();
    expect(all.length).toBeGreaterThanOrEqual(100);
    expect(all).toEqual(all.map(() => ['order.cancelled.v1 expired']));
  });
});
