import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Controller, Inject, Logger, Module, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  RecordDeclineMessage,
  RecordPaymentMessage,
  RecordRefundDeclineMessage,
  RecordRefundMessage,
} from '@tandem/contracts/order-commands';
import { PaymentWanted, type PaymentWantedReply } from '@tandem/contracts/order-queries';
import { jobOf, PAYMENT_JOBS, paymentJobsTopology, type PaymentJob } from '@tandem/contracts/payment-jobs';
import { ORDER_COMMANDS, ORDER_QUERIES, topology } from '@tandem/contracts/topology';
import { dropDatabase } from '@tandem/postgres/database';
import { endTransactionTimeout, sessionConfig } from '@tandem/postgres/session';
import { createHostileDatabase } from '@tandem/postgres/temporary-database';
import { JobPublisher } from '@tandem/transports/rabbitmq/job-publisher';
import { ParkedMessages } from '@tandem/transports/rabbitmq/parked-messages';
import { RabbitMqServer } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { connect } from 'amqplib';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { Payments } from './app.module.ts';
import { readConfig, type Config } from './config.ts';
import { paymentsUrl, setUpDatabase } from './database.ts';
import { redrivableJob } from './parking.ts';
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
  /** Orders that do not wait for their payment; all others do. */
  readonly notWanted = new Map<string, PaymentWantedReply['wanted']>();
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

  @MessagePattern(ORDER_COMMANDS.recordRefundDecline, Transport.RMQ)
  refundDecline(@Payload() message: unknown) {
    return this.#note(ORDER_COMMANDS.recordRefundDecline, RecordRefundDeclineMessage.parse(message));
  }

  @MessagePattern(ORDER_QUERIES.paymentWanted, Transport.RMQ)
  wanted(@Payload() message: unknown): PaymentWantedReply {
    return { wanted: this.told.notWanted.get(PaymentWanted.parse(message).orderId) ?? 'yes' };
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
    // With the slash at its end that many addresses have.
    PROVIDER_URL: `${provider.url}/`,
    PROVIDER_TIMEOUT_MS: '2000',
    PROVIDER_REST_MS: '200',
    PAYMENTS_ATTEMPTS_MAX: '3',
    PAYMENTS_SWEEP_AFTER_MS: '1500',
    PROVIDER_WINDOW_MS: '60000',
  });
  told = new Told();
  await createHostileDatabase(config.POSTGRES_URL, names.databases.payments);
  await setUpDatabase(config);
  database = new pg.Pool({ ...sessionConfig(paymentsUrl(config)), max: 4, onConnect: endTransactionTimeout });
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
/** Until the provider has asked to wait with this payment. */
const untilThrottled = (job: PaymentJob) =>
  until('it was asked to wait', async () => {
    const { rows } = await database.query('select wait_until from payments where key = $1', [jobOf(job).key]);
    return rows[0]?.wait_until != null;
  });
async function expectToHaveWaited(job: PaymentJob): Promise<void> {
  const text = 'select told_at >= wait_until as waited from payments where key = $1';
  expect((await database.query(text, [jobOf(job).key])).rows).toEqual([{ waited: true }]);
}
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

  it('that was asked for before is asked for by reference first', async () => {
    const job = authorising();
    const { key } = jobOf(job);
    const id = await provider.charge(key, common.amount);
    await provider.tell({ behaviour: 'answer', status: 500, only: 'POST' });
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

  it('of an order that no longer waits for it is not begun', async () => {
    const job = authorising();
    told.notWanted.set(job.data.orderId, 'no');
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

  it('of orders is waited for, costs no attempt, and nothing is charged meanwhile', async () => {
    await stopOrders();
    const job = authorising();
    const decided = authorising();
    await database.query(`insert into payments (key, kind, data, outcome) values ($1, $2, $3, $4)`, [
      jobOf(decided).key,
      decided.kind,
      JSON.stringify(decided.data),
      JSON.stringify({ status: 'approved', id: 'ch-decided' }),
    ]);
    await publish(job, decided);
    await until('they are taken', async () => (await publisher.waiting()) === 0);
    await pause(300);
    expect(await provider.entriesOf(job.data.orderId)).toEqual([]);
    await startOrders();
    for (const one of [job, decided]) await until('the job is told', () => isTold(one), 40_000);
    expect(told.about(job.data.orderId).length).toBeGreaterThan(0);
    expect(told.about(decided.data.orderId)[0]?.body['paymentId']).toBe('ch-decided');
    expect([...(await parkedOf(job)), ...(await parkedOf(decided))]).toEqual([]);
  });

  it('in which charges fail and finding works parks nothing, and one real job shows that it is over', async () => {
    await provider.tell({ behaviour: 'answer', status: 503, only: 'POST' });
    const some = Array.from({ length: 5 }, () => authorising());
    await publish(...some);
    await until('the worker pauses', () => payments().jobServer.pausedReason !== undefined);
    // Long enough for another attempt of each, if it were counted.
    await pause(2_000);
    expect(payments().jobServer.pausedReason).toContain('503');
    await provider.tell({ behaviour: 'approve' });
    for (const job of some) await untilTold(job);
    expect((await Promise.all(some.map(parkedOf))).flat()).toEqual([]);
    for (const job of some) expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
  });

  it('is over with the first charge that succeeds, however many orders before it were cancelled meanwhile', async () => {
    await provider.tell({ behaviour: 'answer', status: 401 });
    await publish(authorising());
    await until('the worker pauses', () => payments().jobServer.pausedReason !== undefined);
    const cancelled = Array.from({ length: 100 }, () => authorising());
    for (const { data } of cancelled) told.notWanted.set(data.orderId, 'no');
    const wanted = authorising();
    await publish(...cancelled, wanted);
    await provider.tell({ behaviour: 'approve' });
    // One job in each rest of 200 ms would take 20 s.
    await until('it is paid', () => isTold(wanted), 10_000);
  });

  it('of refunds alone holds up no payment, and parks no refund', async () => {
    const paid = authorising();
    await publish(paid);
    await untilTold(paid);
    const [charge] = await provider.entriesOf(paid.data.orderId);
    const refund = refunding(paid.data.orderId, charge?.id ?? '');
    await provider.tell({ behaviour: 'answer', status: 500, reference: jobOf(refund).key });
    await publish(refund);
    await until('refunds are left alone', () => payments().provider.awayReason?.includes('refunds') === true);
    const other = authorising();
    await publish(other);
    await untilTold(other);
    expect(await isTold(refund)).toBe(false);
    await provider.tell({ behaviour: 'approve' });
    await untilTold(refund);
    expect(await parkedOf(refund)).toEqual([]);
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

describe('what the provider answers', () => {
  const REFUSED = { behaviour: 'answer', status: 422 };

  it.each([401, 403, 407, 451])(
    '%d says that it does not let us in: jobs are left on their queues, readiness says so, and none is parked',
    async (status) => {
      await provider.tell({ behaviour: 'answer', status });
      const some = Array.from({ length: 10 }, () => authorising());
      await publish(...some);
      await until('the worker pauses', () => payments().jobServer.pausedReason !== undefined);
      const ready = await app.inject('/health/ready');
      expect([ready.statusCode, ready.json().checks.provider.status]).toEqual([200, 'degraded']);
      expect(ready.json().checks.provider.reason).toContain(`The provider answered ${status}`);
      await provider.tell({ behaviour: 'approve' });
      for (const job of some) await untilTold(job);
      expect((await Promise.all(some.map(parkedOf))).flat()).toEqual([]);
    },
  );

  it.each([404, 409, 421, 423, 425, 429, 503])(
    '%d says nothing about the charge: it is asked again',
    async (status) => {
      // As often as a job is tried in all its attempts, with their retries where there are some.
      await provider.tell({
        behaviour: 'answer',
        status,
        times: status === 404 || status === 421 ? 9 : 3,
        ...(status === 503 && { retryAfter: '1' }),
      });
      const job = authorising();
      await publish(job);
      await until('it is told', () => isTold(job), 60_000);
      expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
      expect(await parkedOf(job)).toEqual([]);
    },
  );

  it('409 while it is still deciding is asked again under the same key until it has decided', async () => {
    await provider.tell({ behaviour: 'slow', delayMs: 3_500, only: 'POST', times: 1 });
    const job = authorising();
    await publish(job);
    await until('it is told', () => isTold(job), 30_000);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
    expect(told.about(job.data.orderId)).toMatchObject([{ pattern: ORDER_COMMANDS.recordPayment }]);
    expect(await parkedOf(job)).toEqual([]);
  });

  it('429 holds up the order that it is about, for as long as it says, and no other', async () => {
    const job = authorising();
    await provider.tell({ behaviour: 'answer', status: 429, retryAfter: '2', reference: jobOf(job).key, times: 1 });
    await publish(job);
    await untilThrottled(job);
    const others = Array.from({ length: 10 }, () => authorising());
    await publish(job, ...others);
    for (const other of others) await untilTold(other);
    expect(payments().provider.awayReason).toBeUndefined();
    await untilTold(job);
    await expectToHaveWaited(job);
  });

  it('429 holds up a refund of a surplus charge, too, for as long as it says', async () => {
    const job = authorising();
    told.rejection = 'already_paid';
    const surplus = `${jobOf(job).key}:surplus`;
    await provider.tell({ behaviour: 'answer', status: 429, retryAfter: '2', reference: surplus, times: 1 });
    await publish(job);
    await untilThrottled(job);
    // Another copy of the job must wait as well.
    await publish(job);
    await untilTold(job);
    await expectToHaveWaited(job);
  });

  it('422 parks a charge only when it is not there by reference either', async () => {
    const [refused, charged] = [authorising(), authorising()] as const;
    await provider.charge(jobOf(charged).key, common.amount);
    await provider.tell({ ...REFUSED, only: 'POST' });
    await publish(refused, charged);
    await untilTold(charged);
    await until('it is parked', async () => (await parkedOf(refused)).length === 1);
    expect((await parkedOf(refused))[0]?.reason).toBe('The provider answered 422 {"error":"as_told"}');
    expect(told.about(charged.data.orderId)).toMatchObject([{ pattern: ORDER_COMMANDS.recordPayment }]);
  });

  it('422 with a page that is no JSON is no verdict', async () => {
    await provider.tell({ behaviour: 'page', status: 422, times: 3 });
    const job = authorising();
    await publish(job);
    await untilTold(job);
    expect(await parkedOf(job)).toEqual([]);
  });

  it('with another amount than was asked parks that job with both values, and other payments flow', async () => {
    const job = authorising();
    await provider.tell({ behaviour: 'contradict', reference: jobOf(job).key });
    const others = Array.from({ length: 5 }, () => authorising());
    await publish(job, ...others);
    for (const other of others) await untilTold(other);
    await until('it is parked', async () => (await parkedOf(job)).length === 1);
    expect((await parkedOf(job))[0]?.reason).toBe(
      `CONTRADICTION: the provider says approved 1 JPY for ${jobOf(job).key}, asked was 2990 EUR for ${jobOf(job).key}`,
    );
    expect(payments().provider.awayReason).toBeUndefined();
    expect(told.about(job.data.orderId)).toEqual([]);
  });

  it('when asked by reference is checked like an answer', async () => {
    const job = authorising();
    const { key } = jobOf(job);
    await provider.charge(key, 1);
    await database.query(`insert into payments (key, kind, data) values ($1, $2, $3)`, [
      key,
      job.kind,
      JSON.stringify(job.data),
    ]);
    await publish(job);
    await until('it is parked', async () => (await parkedOf(job)).length > 0);
    expect((await parkedOf(job))[0]?.reason).toContain(`says approved 1 EUR for ${key}`);
    expect(told.about(job.data.orderId)).toEqual([]);
  });

  it.each([
    ['is cut at an emoji', `${'x'.repeat(499)}😀`, 'x'.repeat(499)],
    ['holds NUL and half a pair', 'no\u0000 \ud83d!', 'no\uFFFD \uFFFD!'],
    ['is empty', '', 'declined'],
  ])('as a reason that %s reaches orders as text that it can store', async (_name, reason, stored) => {
    await provider.tell({ behaviour: 'decline', reason });
    const job = authorising();
    await publish(job);
    await untilTold(job);
    expect(told.about(job.data.orderId)).toMatchObject([{ body: { reason: stored } }]);
  });

  it('404 for a reference that it does not know is no outage', async () => {
    const job = authorising();
    const { key } = jobOf(job);
    await database.query(`insert into payments (key, kind, data) values ($1, $2, $3)`, [
      key,
      job.kind,
      JSON.stringify(job.data),
    ]);
    await provider.tell({ behaviour: 'approve', unknown: '404' });
    await publish(job);
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
  });

  it('404 with a page that is no JSON says nothing about a reference: a charge that was made is not taken for none', async () => {
    const job = authorising();
    const { key } = jobOf(job);
    told.notWanted.set(job.data.orderId, 'no');
    await provider.charge(key, job.data.amount);
    await database.query(
      `insert into payments (key, kind, data, begun_at) values ($1, $2, $3, now() - interval '1 minute')`,
      [key, job.kind, JSON.stringify(job.data)],
    );
    await provider.tell({ behaviour: 'page', status: 404, only: 'GET', reference: key, times: 1 });
    await publish(job);
    await untilTold(job);
    expect(told.about(job.data.orderId)).toMatchObject([{ pattern: ORDER_COMMANDS.recordPayment }]);
  });

  it('with a redirect sends neither key nor body elsewhere, and is not believed', async () => {
    const asked: string[] = [];
    const elsewhere = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(201, { 'content-type': 'application/json' }).end('{}');
    });
    await new Promise<void>((listening) => elsewhere.listen(0, '127.0.0.1', listening));
    const { port } = elsewhere.address() as AddressInfo;
    try {
      const location = `http://127.0.0.1:${port}/`;
      await provider.tell({ behaviour: 'redirect', location });
      const job = authorising();
      await publish(job);
      await until('the provider is left alone', () => payments().provider.awayReason !== undefined);
      expect(payments().provider.awayReason).toContain(`307 (to ${location}, which is not followed)`);
      await provider.tell({ behaviour: 'approve' });
      await untilTold(job);
      expect(asked).toEqual([]);
    } finally {
      elsewhere.close();
    }
  });

  it('without an end is read up to a bound, and is no answer', async () => {
    await provider.tell({ behaviour: 'endless' });
    const job = authorising();
    const before = process.memoryUsage().rss;
    await publish(job);
    await until('the provider is left alone', () => payments().provider.awayReason !== undefined);
    expect(payments().provider.awayReason).toContain('larger than 65536 bytes');
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
    await provider.tell({ behaviour: 'approve' });
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
  });
});

describe('money that is not wanted', () => {
  it('is not charged for an order that orders does not know: its job is parked, and runs when somebody redrives it', async () => {
    const job = authorising();
    told.notWanted.set(job.data.orderId, 'unknown');
    await publish(job);
    await until('it is parked', async () => (await parkedOf(job)).length === 1);
    expect(await provider.entriesOf(job.data.orderId)).toEqual([]);
    // In the incident it was lost; now it is there again.
    told.notWanted.delete(job.data.orderId);
    const [parked] = await parkedOf(job);
    await payments().parked.redrive({ ids: [parked?.id ?? ''], by: 'test' });
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);
  });

  it('is not charged by a redrive when its order has expired meanwhile', async () => {
    const job = authorising();
    await provider.tell({ behaviour: 'answer', status: 422 });
    await publish(job);
    await until('it is parked', async () => (await parkedOf(job)).length === 1);
    await provider.tell({ behaviour: 'approve' });
    told.notWanted.set(job.data.orderId, 'no');
    // It was asked for lately, as far as anybody knows; not so here.
    await database.query(`update payments set asked_at = now() - interval '1 hour' where key = $1`, [jobOf(job).key]);
    const [parked] = await parkedOf(job);
    await payments().parked.redrive({ ids: [parked?.id ?? ''], by: 'test' });
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toEqual([]);
    expect(told.about(job.data.orderId)).toEqual([]);
  });

  it('is looked for by reference when it may be charged already, and orders is told', async () => {
    const job = authorising();
    await provider.tell({ behaviour: 'slow', delayMs: 3_000, only: 'POST', times: 1 });
    await publish(job);
    await until('it was asked for', async () => {
      const { rowCount } = await database.query('select 1 from payments where key = $1', [jobOf(job).key]);
      return rowCount === 1;
    });
    // Cancelled before the provider has decided: what it decides then is not forgotten.
    told.notWanted.set(job.data.orderId, 'no');
    await untilTold(job);
    expect(told.about(job.data.orderId)).toMatchObject([{ pattern: ORDER_COMMANDS.recordPayment }]);
  });

  it('of an order that costs nothing is recorded without asking the provider', async () => {
    const job = authorising({ amount: 0 });
    await publish(job);
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toEqual([]);
    expect(told.about(job.data.orderId)).toMatchObject([{ body: { amount: 0, paymentId: 'nothing-to-pay' } }]);
  });
});

describe('a refund that the provider refuses', () => {
  it('is reported to orders with the reason, and its job ends', async () => {
    const orderId = uuidv7();
    const charge = await provider.charge(`${orderId}:authorise`, common.amount);
    await provider.tell({ behaviour: 'decline', only: 'POST', reason: 'account closed' });
    const refund = refunding(orderId, charge);
    await publish(refund);
    await untilTold(refund);
    expect(told.about(orderId)).toMatchObject([
      {
        pattern: ORDER_COMMANDS.recordRefundDecline,
        body: { refundId: 1, amount: 2_990, currency: 'EUR', reason: 'account closed' },
      },
    ]);
    expect(await parkedOf(refund)).toEqual([]);
  });
});

describe('a job that cannot succeed', () => {
  it('is parked with its mark or not at all, though its table is locked for long', async () => {
    const job = authorising();
    const locking = await database.connect();
    await locking.query('begin; lock table parked in access exclusive mode');
    try {
      await provider.tell({ behaviour: 'answer', status: 422 });
      await publish(job);
      await until('parking has begun', async () => {
        const { rows } = await locking.query(
          `select count(*)::integer as n from pg_locks where not granted and relation = 'parked'::regclass`,
        );
        return rows[0].n > 0;
      });
      // Past the lock time-out of the worker.
      await pause(5_000);
    } finally {
      await locking.query('rollback');
      locking.release();
    }
    await until('it is parked', async () => (await parkedOf(job)).length === 1, 30_000);
  });

  it('though marked as parked without a row is found by the sweep', async () => {
    const [marked, formerly] = [authorising(), authorising()] as const;
    const begun = (job: PaymentJob, mark: string, value: unknown) =>
      database.query(
        `insert into payments (key, kind, data, begun_at, ${mark}) values ($1, $2, $3, now() - interval '1 hour', $4)`,
        [jobOf(job).key, job.kind, JSON.stringify(job.data), value],
      );
    await begun(marked, 'parked_id', 1_000_000_000);
    await begun(formerly, 'parked', true);
    await untilTold(marked);
    // A mark of a former version is looked at when the worker starts, and when its job comes.
    await payments().records.adoptMarks();
    await untilTold(formerly);
  });

  it('is run by a redrive though its first attempt fails, and though the redrive was killed before it was published', async () => {
    const job = authorising();
    await provider.tell({ behaviour: 'answer', status: 422 });
    await publish(job);
    await until('it is parked', async () => (await parkedOf(job)).length === 1);
    await provider.tell({ behaviour: 'drop', times: 4 });
    const [parked] = await parkedOf(job);
    await payments().parked.redrive({ ids: [parked?.id ?? ''], by: 'test' });
    await untilTold(job);
    expect(await provider.entriesOf(job.data.orderId)).toHaveLength(1);

    const killed = authorising();
    await provider.tell({ behaviour: 'answer', status: 422 });
    await publish(killed);
    await until('it is parked', async () => (await parkedOf(killed)).length === 1);
    await provider.tell({ behaviour: 'approve' });
    // All that a redrive has done before it publishes; the rest falls to the sweep.
    await payments().records.unpark(killed);
    await untilTold(killed);
    expect(await parkedOf(killed)).toHaveLength(1);
  });

  it('is not run any more when it is dropped after a redrive that failed', async () => {
    const job = authorising();
    await provider.tell({ behaviour: 'answer', status: 422 });
    await publish(job);
    await until('it is parked', async () => (await parkedOf(job)).length === 1);
    await provider.tell({ behaviour: 'approve' });
    const [parked] = await parkedOf(job);
    const { records, pool } = payments();
    const withoutBroker = new ParkedMessages({
      service: 'payments',
      table: 'parked',
      pool,
      url: 'amqp://127.0.0.1:1',
      toRedrivable: (message) => redrivableJob(records, message),
    });
    await expect(withoutBroker.redrive({ ids: [parked?.id ?? ''], by: 'test' })).rejects.toThrow('RabbitMQ is away');
    expect(await payments().parked.drop({ id: parked?.id ?? '', by: 'test', reason: 'not wanted' })).toMatchObject({
      outcome: 'done',
    });
    // Neither by the sweep nor when orders asks again.
    await publish(job);
    await pause(3 * Number(config.PAYMENTS_SWEEP_AFTER_MS));
    expect(await provider.entriesOf(job.data.orderId)).toEqual([]);
    expect(await isTold(job)).toBe(false);
  });

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
