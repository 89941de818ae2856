import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Controller, Inject, Logger, Module, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RecordDeclineMessage, RecordPaymentMessage, RecordRefundMessage } from '@tandem/contracts/order-commands';
import { jobOf, PAYMENT_JOBS, paymentJobsTopology, type PaymentJob } from '@tandem/contracts/payment-jobs';
import { ORDER_COMMANDS, ORDER_QUERIES, topology } from '@tandem/contracts/topology';
import { dropDatabase } from '@tandem/postgres/database';
import { endTransactionTimeout, sessionConfig } from '@tandem/postgres/session';
import { createHostileDatabase } from '@tandem/postgres/temporary-database';
import { JobPublisher } from '@tandem/transports/rabbitmq/job-publisher';
import { RabbitMqServer } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { connect } from 'amqplib';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { Payments } from './app.module.ts';
import { readConfig, type Config } from './config.ts';
import { paymentsUrl, setUpDatabase } from './database.ts';
import { ProviderProcess } from './provider.testing.ts';
import { serve } from './serve.ts';

// What is expected to go wrong in a test is told by its assertions.
Logger.overrideLogger(false);

interface Command {
  pattern: string;
  commandId: string;
  orderId: string;
  body: Record<string, unknown>;
}

/** Whoever answers on the queue of orders; it keeps what it was told. */
class Told {
  readonly commands: Command[] = [];
  readonly closed = new Set<string>();
  /** How orders answers: a refusal by its code, or nothing. */
  rejection: string | undefined;

  about(orderId: string): Command[] {
    return this.commands.filter((command) => command.orderId === orderId);
  }
}

@Controller()
class OrdersController {
  constructor(@Inject(Told) private readonly told: Told) {}

  @MessagePattern(ORDER_COMMANDS.recordPayment, Transport.RMQ)
  payment(@Payload() message: unknown) {
    return this.#note(ORDER_COMMANDS.recordPayment, RecordPaymentMessage.parse(message));
  }

  @MessagePattern(ORDER_COMMANDS.recordDecline, Transport.RMQ)
  decline(@Payload() message: unknown) {
    return this.#note(ORDER_COMMANDS.recordDecline, RecordDeclineMessage.parse(message));
  }

  @MessagePattern(ORDER_COMMANDS.recordRefund, Transport.RMQ)
  refund(@Payload() message: unknown) {
    return this.#note(ORDER_COMMANDS.recordRefund, RecordRefundMessage.parse(message));
  }

  @MessagePattern(ORDER_QUERIES.get, Transport.RMQ)
  get(@Payload() { orderId }: { orderId: string }) {
    return { order: { status: this.told.closed.has(orderId) ? 'cancelled' : 'placed' } };
  }

  #note(pattern: string, message: Omit<Command, 'pattern'>) {
    this.told.commands.push({ pattern, ...message });
    const code = this.told.rejection;
    if (code !== undefined) return { outcome: 'rejected', rejection: { code }, replayed: false };
    return { outcome: 'accepted', order: {}, replayed: false };
  }
}

@Module({})
class OrdersModule {}

let config: Config;
let provider: ProviderProcess;
let app: NestFastifyApplication;
let orders: INestMicroservice[] = [];
let publisher: JobPublisher;
let database: pg.Pool;
let told: Told;
const names = topology(`payments-test-${randomUUID().slice(0, 8)}`);
const jobs = paymentJobsTopology(names);

async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const late = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > late) throw new Error(`Waited ${timeoutMs} ms in vain until ${what}.`);
    await pause(20);
  }
}

async function startOrders(): Promise<void> {
  const servers = [names.queues.orderCommands, names.queues.orderQueries].map(
    (queue) => new RabbitMqServer({ url: config.RABBITMQ_URL, queue, name: 'test orders', prefetchCount: 16 }),
  );
  const module = {
    module: OrdersModule,
    controllers: [OrdersController],
    providers: [{ provide: Told, useValue: told }],
  };
  for (const strategy of servers) {
    const one = await NestFactory.createMicroservice(module, { strategy, logger: false });
    await one.listen();
    orders.push(one);
  }
  await until('orders answers', () => servers.every(({ ready }) => ready));
}

async function stopOrders(): Promise<void> {
  await Promise.all(orders.map((one) => one.close()));
  orders = [];
}

beforeAll(async () => {
  provider = await ProviderProcess.start();
  config = readConfig({
    ...process.env,
    NAMESPACE: names.namespace,
    LOG_LEVEL: 'silent',
    PAYMENTS_PORT: '0',
    PROVIDER_URL: provider.url,
    PROVIDER_TIMEOUT_MS: '2000',
    PROVIDER_REST_MS: '200',
    PAYMENTS_ATTEMPTS_MAX: '3',
    PAYMENTS_SWEEP_AFTER_MS: '1500',
    PROVIDER_WINDOW_MS: '60000',
  });
  told = new Told();
  await createHostileDatabase(config.POSTGRES_URL, names.databases.payments);
  await setUpDatabase(config);
  database = new pg.Pool({ ...sessionConfig(paymentsUrl(config)), max: 2, onConnect: endTransactionTimeout });
  await startOrders();
  app = await serve(config);
  const options = { url: config.RABBITMQ_URL, name: 'test', topology: jobs, confirmTimeoutMs: 10_000 };
  publisher = new JobPublisher({ ...options, onFailure: () => undefined });
  await until(
    'jobs are taken',
    () => publisher.notReadyReason === undefined && payments().jobServer.notReadyReason === undefined,
  );
  await until('orders can be told', () => payments().commands.ready && payments().queries.ready);
});

afterAll(async () => {
  await publisher?.close();
  await app?.close();
  await stopOrders();
  await database?.end();
  await provider?.stop();
  const connection = await connect(config.RABBITMQ_URL);
  const channel = await connection.createChannel();
  for (const queue of Object.values(names.queues)) await channel.deleteQueue(queue);
  for (const exchange of Object.values(names.exchanges)) await channel.deleteExchange(exchange);
  await connection.close();
  await dropDatabase(config.POSTGRES_URL, names.databases.payments);
});

beforeEach(async () => {
  told.rejection = undefined;
  await provider.tell({ behaviour: 'approve' });
  await until('jobs are taken', () => payments().jobServer.pausedReason === undefined);
});

const payments = () => app.get(Payments);
const common = { amount: 2_990, currency: 'EUR', method: 'card', delivery: 'standard' } as const;

function authorising(changes: Partial<PaymentJob['data']> = {}): PaymentJob {
  const data = { orderId: uuidv7(), ...common, since: new Date().toISOString(), ...changes };
  return { kind: PAYMENT_JOBS.authorise, data };
}

function refunding(orderId: string, paymentId: string, amount: number = common.amount): PaymentJob {
  const data = { orderId, ...common, amount, since: new Date().toISOString(), refundId: 1, paymentId };
  return { kind: PAYMENT_JOBS.refund, data };
}

const publish = (...some: PaymentJob[]) => publisher.publish(some.map((job) => jobOf(job)));
const isTold = async (job: PaymentJob) => {
  const text = 'select 1 from payments where key = $1 and told_at is not null';
  return (await database.query(text, [jobOf(job).key])).rowCount === 1;
};
const untilTold = (job: PaymentJob) => until(`${job.data.orderId} is told`, () => isTold(job));
const parkedOf = async ({ data }: PaymentJob) => {
  const { parked } = await payments().parked.list({ filter: { orderId: data.orderId }, limit: 10 });
  return parked;
};

describe('a payment', () => {
  it('is charged, and orders is told', async () => {
    const job = authorising({ delivery: 'express', method: 'invoice' });
    await publish(job);
    await untilTold(job);
    const [entry] = await provider.entriesOf(job.data.orderId);
    expect(entry).toMatchObject({ status: 'approved', request: { amount: 2_990, method: 'invoice' } });
    expect(told.about(job.data.orderId)).toMatchObject([
      { pattern: ORDER_COMMANDS.recordPayment, body: { paymentId: entry?.id, amount: 2_990, currency: 'EUR' } },
    ]);
  });

  it('that is declined is an answer', async () => {
    await provider.tell({ behaviour: 'decline' });
    const job = authorising();
    await publish(job);
    await untilTold(job);
    expect(told.about(job.data.orderId)).toMatchObject([
      { pattern: ORDER_COMMANDS.recordDecline, body: { reason: 'insufficient funds' } },
    ]);
  });

  it('is refunded', async () => {
    const job = authorising();
    await publish(job);
    await untilTold(job);
    const [charge] = await provider.entriesOf(job.data.orderId);
    const refund = refunding(job.data.orderId, charge?.id ?? '');
    await publish(refund);
    await untilTold(refund);
    const entries = await provider.entriesOf(job.data.orderId);
    expect(entries.map(({ request }) => request.kind)).toEqual(['charge', 'refund']);
    expect(told.about(job.data.orderId)[1]).toMatchObject({
      pattern: ORDER_COMMANDS.recordRefund,
      body: { refundId: 1, amount: 2_990, currency: 'EUR' },
    });
  });

  it('is charged once though its job comes ten times at once', async () => {
    const job = authorising();
    await publish(...Array.from({ length: 10 }, () => job));
    await untilTold(job);
    await until('all have come', async () => (await publisher.waiting()) === 0);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
    expect(new Set(told.about(job.data.orderId).map(({ commandId }) => commandId)).size).toBe(1);
  });

  it('is charged once though the answer of the provider is lost', async () => {
    await provider.tell({ behaviour: 'drop-after', times: 1 });
    const job = authorising();
    await publish(job);
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
    expect(told.about(job.data.orderId)).toHaveLength(1);
  });

  it('gets its own answer though the provider answers twice', async () => {
    await provider.tell({ behaviour: 'twice', times: 30 });
    const some = Array.from({ length: 30 }, () => authorising());
    await publish(...some);
    for (const job of some) {
      await untilTold(job);
      const [entry, ...more] = await provider.entriesOf(job.data.orderId);
      expect(more).toEqual([]);
      expect(told.about(job.data.orderId)[0]?.body['paymentId']).toBe(entry?.id);
    }
  });

  it('that was begun before the provider forgot its key is asked for by reference first', async () => {
    const job = authorising();
    const { key } = jobOf(job);
    // Not what the job says: asked for under its key again, the provider would refuse.
    const id = await provider.charge(key, 1);
    await database.query(
      `insert into payments (key, kind, data, begun_at) values ($1, $2, $3, now() - interval '2 minutes')`,
      [key, job.kind, JSON.stringify(job.data)],
    );
    await publish(job);
    await untilTold(job);
    // Begun so long ago, the sweep may take it up as well: it is told twice then, of the same charge.
    expect([...new Set(told.about(job.data.orderId).map(({ body }) => body['paymentId']))]).toEqual([id]);
  });

  it('of an order that another payment has paid goes back', async () => {
    told.rejection = 'already_paid';
    const job = authorising();
    await publish(job);
    await untilTold(job);
    const [charge, refund] = await provider.entriesOf(job.data.orderId);
    expect(refund?.request).toMatchObject({ kind: 'refund', amount: 2_990, charge: charge?.id });
    expect(await parkedOf(job)).toEqual([]);
  });

  it('of an order that was cancelled while its job waited is not begun', async () => {
    const job = authorising({ since: new Date(Date.now() - 120_000).toISOString() });
    told.closed.add(job.data.orderId);
    await publish(job);
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toEqual([]);
    expect(told.about(job.data.orderId)).toEqual([]);
  });
});

describe('an outage', () => {
  it('of the provider leaves jobs on their queues, and all are paid once when it is back', async () => {
    await provider.tell({ behaviour: 'fail' });
    const some = Array.from({ length: 40 }, () => authorising());
    await publish(...some);
    await until('the worker pauses', () => payments().jobServer.pausedReason !== undefined);
    const ready = await app.inject('/health/ready');
    expect([ready.statusCode, ready.json().checks.provider.status]).toEqual([200, 'degraded']);
    await provider.tell({ behaviour: 'approve' });
    for (const job of some) await untilTold(job);
    for (const job of some) expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
    expect((await Promise.all(some.map(parkedOf))).flat()).toEqual([]);
  });

  it('of orders is waited for, and costs no attempt', async () => {
    await stopOrders();
    const job = authorising();
    await publish(job);
    await until('the provider has decided', async () => (await provider.entriesOf(job.data.orderId)).length === 1);
    await startOrders();
    await until('the job is told', () => isTold(job), 40_000);
    expect(told.about(job.data.orderId).length).toBeGreaterThan(0);
    expect(await parkedOf(job)).toEqual([]);
  });

  it('of the broker with its disk: a payment that was begun is finished', async () => {
    const job = authorising();
    const { key } = jobOf(job);
    await database.query(`insert into payments (key, kind, data) values ($1, $2, $3)`, [
      key,
      job.kind,
      JSON.stringify(job.data),
    ]);
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
  });
});

describe('jobs that cannot be stored as they came', () => {
  it('are parked, 20 on one queue, and the next one on it is paid', async () => {
    const connection = await connect(config.RABBITMQ_URL);
    try {
      const channel = await connection.createConfirmChannel();
      const headers = { 'x-attempt': 3_000_000_000, 'x-first-failed-at': 'yesterday', traceparent: '00-\u0000' };
      for (let n = 0; n < 20; n += 1)
        channel.sendToQueue(names.queues.paymentsCard, Buffer.from(`{"pattern":"eat","data":${n}}`), { headers });
      channel.sendToQueue(names.queues.paymentsCard, Buffer.from('{"pattern":"eat"}'), {
        headers: { 'x-attempt': { toString: 1, valueOf: 1 } },
      });
      await channel.waitForConfirms();
    } finally {
      await connection.close();
    }
    const job = authorising();
    await publish(job);
    await untilTold(job);
    const waiting = async () => (await payments().parked.list({ filter: {}, limit: 100 })).parked;
    const odd = async () => (await waiting()).filter(({ reason }) => reason === 'no handler for jobs of eat');
    await until('all are parked', async () => (await odd()).length === 21);
    expect((await odd()).filter(({ attempts }) => attempts === 2_147_483_647)).toHaveLength(20);
    for (const { id } of await odd())
      expect(await payments().parked.drop({ id, by: 'test', reason: 'rubbish' })).toEqual({ id, outcome: 'done' });
  });
});

describe('a job that cannot succeed', () => {
  it('is parked with its reason, stays so though it is published again, and runs when somebody redrives it', async () => {
    const orderId = uuidv7();
    const paid = authorising({ orderId });
    // A refund of a charge that does not exist yet.
    const refund = refunding(orderId, 'ch-unheard-of');
    await publish(refund);
    await until('it is parked', async () => (await parkedOf(refund)).length === 1);
    const [parked] = await parkedOf(refund);
    expect(parked).toMatchObject({ state: 'parked', type: 'refund', attempts: 1, source: names.queues.paymentsCard });
    expect(parked?.reason).toContain('more_than_was_charged');
    await publish(refund, paid);
    await untilTold(paid);
    await until('both have come', async () => (await publisher.waiting()) === 0);
    expect(await parkedOf(refund)).toHaveLength(1);
    expect(await isTold(refund)).toBe(false);
    const outcomes = await payments().parked.redrive({ ids: [parked?.id ?? ''], by: 'test' });
    expect(outcomes).toMatchObject([{ outcome: 'done' }]);
    // It fails again, as it must, and is parked again: it has run.
    await until('it is parked again', async () => {
      const waiting = (await parkedOf(refund)).filter(({ state }) => state === 'parked');
      return waiting.length === 1 && waiting[0]?.id !== parked?.id;
    });
  });

  it('because orders knows nothing of it is parked: money that no order accounts for', async () => {
    told.rejection = 'order_not_found';
    const job = authorising();
    await publish(job);
    await until('it is parked', async () => (await parkedOf(job)).length === 1);
    expect((await parkedOf(job))[0]?.reason).toBe('order.record-payment was refused: order_not_found');
  });

  it('in several attempts is parked after the last', async () => {
    const job = authorising();
    await database.query(`insert into payments (key, kind, data, outcome) values ($1, $2, $3, $4)`, [
      jobOf(job).key,
      job.kind,
      JSON.stringify(job.data),
      JSON.stringify({ status: 'approved', id: '' }),
    ]);
    // An empty payment id breaks the contract, whoever asks and however often.
    await publish(job);
    await until('it is parked', async () => (await parkedOf(job)).length === 1, 40_000);
  });
});
