import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { OrderEvent } from '@tandem/contracts/order-events';
import { AuthoriseJob, paymentJobsTopology, RefundJob } from '@tandem/contracts/payment-jobs';
import { topology } from '@tandem/contracts/topology';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import { JobPublisher } from '@tandem/transports/rabbitmq/job-publisher';
import { connect, type Channel, type ChannelModel } from 'amqplib';
import type { Pool } from 'pg';
import { fileURLToPath } from 'node:url';
import { v7 as uuidv7 } from 'uuid';
import { readConfig } from '../config.ts';
import { fold } from '../order/order.ts';
import { WantedPayments } from '../queries/wanted-payments.ts';
import {
  cancelled,
  paid,
  placed,
  recorded,
  refundClosed,
  refundDeclined,
  refundDue,
} from '../order/rulebook.testing.ts';
import { PAYMENT_JOBS_FOLLOWER, PaymentJobs } from './payment-jobs.ts';

const config = readConfig();
const names = topology(`payment-jobs-${randomUUID().slice(0, 8)}`);
const jobs = paymentJobsTopology(names);
let database: TemporaryDatabase;
let pool: Pool;
let connection: ChannelModel;
let channel: Channel;
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  connection = await connect(config.RABBITMQ_URL);
  await openChannel();
});

afterAll(() => connection.close());

async function openChannel(): Promise<void> {
  channel = await connection.createChannel();
  channel.on('error', () => undefined);
}

beforeEach(async () => {
  database = await temporaryDatabase(config.POSTGRES_URL, fileURLToPath(new URL('../../migrations', import.meta.url)));
  pool = createPool({
    url: database.url,
    name: 'test',
    connectionsMax: 2,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 5_000,
    lockTimeoutMs: 5_000,
    idleInTransactionTimeoutMs: 5_000,
    onIdleError: () => undefined,
  });
});

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await wipe();
  await pool.end();
  await database.drop();
});

/** Everything of these names on the broker, as if it had lost its disk. */
async function wipe(): Promise<void> {
  for (const queue of Object.values(names.queues)) await channel.deleteQueue(queue);
  for (const exchange of Object.values(names.exchanges)) await channel.deleteExchange(exchange);
}

async function follow(unsettledMsMax = 600_000): Promise<PaymentJobs> {
  const options = { url: config.RABBITMQ_URL, name: 'test', topology: jobs, confirmTimeoutMs: 10_000 };
  const publisher = new JobPublisher({ ...options, onFailure: () => undefined });
  await until('the publisher is ready', () => publisher.notReadyReason === undefined);
  const follower = new PaymentJobs({
    publisher,
    leadership: { url: database.url, idleTimeoutMs: 2_000, heartbeatMs: 500, retryMs: 50, statementTimeoutMs: 5_000 },
    eventsMax: 100,
    batchMsMin: 5,
    pollMsMin: 5,
    pollMsMax: 20,
    unsettledMsMax,
    onFailure: () => undefined,
  });
  stops.push(async () => {
    await follower.stop();
    await publisher.close();
  });
  follower.start();
  return follower;
}

/** Writes an order with its history, as the append does. */
async function append(orderId: string, ...events: OrderEvent[]): Promise<void> {
  const history = recorded(events, orderId).map((event) => ({ ...event, at: new Date().toISOString() }));
  const state = fold(history);
  const version = await pool.query<{ version: number }>('select version from orders where id = $1', [orderId]);
  const news = history.slice(version.rows[0]?.version ?? 0);
  await pool.query(
    `with l as materialized (select pg_advisory_xact_lock(42)),
     o as (insert into orders (id, customer_id, status, currency, version, state)
           select $1, 'c-42', $2, 'EUR', $3, $4 from l
           on conflict (id) do update set status = excluded.status, version = excluded.version, state = excluded.state)
     insert into events (order_id, version, type, data, at)
     select $1, t.version, t.type, t.data, t.at
       from l cross join unnest($5::integer[], $6::text[], $7::json[], $8::timestamptz[]) as t(version, type, data, at)`,
    [
      orderId,
      state?.status,
      history.length,
      JSON.stringify(state),
      news.map((event) => event.version),
      news.map(({ type }) => type),
      news.map(({ data }) => JSON.stringify(data)),
      news.map(({ at }) => at),
    ],
  );
}

async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const late = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > late) throw new Error(`Waited ${timeoutMs} ms in vain until ${what}.`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

/** Whether the follower has come to the end of the events. */
const caughtUp = async () => {
  const { rows } = await pool.query<{ there: boolean }>(
    'select position = (select max(position) from events) as there from followers where name = $1',
    [PAYMENT_JOBS_FOLLOWER],
  );
  return rows[0]?.there === true;
};

/** Takes everything off a queue. */
async function drain(queue: string): Promise<{ pattern: string; data: { orderId: string } }[]> {
  const taken = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) return taken;
    taken.push(JSON.parse(message.content.toString()) as { pattern: string; data: { orderId: string } });
  }
}

/** Whose jobs they are: a job comes at least once, and twice when its leader is deposed on a busy machine. */
const ordersOf = (taken: readonly { data: { orderId: string } }[]) => [
  ...new Set(taken.map(({ data }) => data.orderId)),
];

const refundRequested = refundDue(2_990);
const refundRecorded: OrderEvent = {
  type: 'order.refund-recorded.v1',
  data: { refundId: 1, amount: 2_990, currency: 'EUR' },
};

describe('the follower that makes payment jobs', () => {
  it('publishes one job for each placed order, to the queue of its method and delivery, with several instances', async () => {
    await Promise.all([follow(), follow(), follow()]);
    const data = { ...placed.data, delivery: 'express', payment: { method: 'invoice' } };
    const express = { type: placed.type, data } as OrderEvent;
    const ids = Array.from({ length: 250 }, () => uuidv7());
    for (const [index, id] of ids.entries()) await append(id, index % 5 === 0 ? express : placed);
    await until('all is published', caughtUp);
    const standard = await drain(names.queues.paymentsCard);
    const urgent = await drain(names.queues.paymentsInvoiceExpress);
    expect(ordersOf(standard)).toEqual(ids.filter((_, index) => index % 5 !== 0));
    expect(ordersOf(urgent)).toEqual(ids.filter((_, index) => index % 5 === 0));
    expect(AuthoriseJob.parse(urgent[0]?.data)).toMatchObject({
      amount: 2_990,
      method: 'invoice',
      delivery: 'express',
    });
  });

  it('asks for no payment of an order that was cancelled before anybody looked', async () => {
    await append(uuidv7(), placed, cancelled);
    await follow();
    await until('all is published', caughtUp);
    expect(await drain(names.queues.paymentsCard)).toEqual([]);
  });

  it('publishes a job for each refund, of the payment that it gives back', async () => {
    const id = uuidv7();
    await append(id, placed, paid, cancelled, refundRequested);
    await follow();
    await until('all is published', caughtUp);
    const taken = await drain(names.queues.paymentsCard);
    expect(ordersOf(taken)).toEqual([id]);
    const [job] = taken;
    expect([job?.pattern, RefundJob.parse(job?.data)]).toEqual([
      'refund',
      expect.objectContaining({ orderId: id, refundId: 1, amount: 2_990, paymentId: 'p-1' }),
    ]);
  });

  it('publishes no job for a refund that was declined or closed, and one of its own when it is asked for again', async () => {
    const [again, closed] = [uuidv7(), uuidv7()];
    await append(again, placed, paid, cancelled, refundRequested, refundDeclined(2_990), refundDue(2_990, 2));
    await append(closed, placed, paid, cancelled, refundRequested, refundClosed(2_990));
    await follow();
    await until('all is published', caughtUp);
    const taken = await drain(names.queues.paymentsCard);
    expect(ordersOf(taken)).toEqual([again]);
    expect(taken.map(({ data }) => RefundJob.parse(data).refundId)).toEqual(taken.map(() => 2));
    const open = await pool.query('select order_id, refund_id from open_refunds');
    expect(open.rows).toEqual([{ order_id: again, refund_id: 2 }]);
  });

  it('asks for no payment of an order that costs nothing', async () => {
    const free = { ...placed, data: { ...placed.data, total: 0 } } as OrderEvent;
    const nothing = {
      type: 'order.payment-recorded.v1',
      data: { paymentId: 'free', amount: 0, currency: 'EUR' },
    } as const;
    await append(uuidv7(), free, nothing);
    await follow();
    await until('all is published', caughtUp);
    expect(await drain(names.queues.paymentsCard)).toEqual([]);
  });

  it('goes on where it was after a restart', async () => {
    const follower = await follow();
    await append(uuidv7(), placed);
    await until('it is published', caughtUp);
    await follower.stop();
    await append(uuidv7(), placed);
    await follow();
    await until('all is published', caughtUp);
    expect(ordersOf(await drain(names.queues.paymentsCard))).toHaveLength(2);
  });
});

describe('an order that stays unsettled', () => {
  it('gets its job again, though the broker has lost everything', async () => {
    const [unpaid, settled] = [uuidv7(), uuidv7()];
    const refunded = uuidv7();
    await follow(800);
    await append(unpaid, placed);
    await append(settled, placed, paid);
    await append(refunded, placed, paid, cancelled, refundRequested);
    await until('all is published', caughtUp);
    await wipe();
    const again = new Map<string, string>();
    await until('both are published again', async () => {
      const found = await drain(names.queues.paymentsCard).catch(async () => {
        // A queue that is not there yet closes the channel.
        await openChannel();
        return [];
      });
      for (const { pattern, data } of found) again.set(data.orderId, pattern);
      return again.size === 2;
    });
    expect(Object.fromEntries(again)).toEqual({ [unpaid]: 'authorise', [refunded]: 'refund' });
    expect(again.has(settled)).toBe(false);
  });

  it('gets its refund again behind more refunds than one look publishes, of which nothing comes', async () => {
    const [stuck, refunded] = [uuidv7(), uuidv7()];
    await append(stuck, placed, paid, cancelled);
    await pool.query(
      `insert into open_refunds (order_id, refund_id, requested_at)
       select $1, n, now() - interval '1 day' from generate_series(1, 1001) as n`,
      [stuck],
    );
    await append(refunded, placed, paid, cancelled, refundRequested);
    await follow(400);
    await until('its job is published', caughtUp);
    await drain(names.queues.paymentsCard);
    await until('it is published again', async () => (await drain(names.queues.paymentsCard)).length > 0);
  });

  it('gets it no more when it is settled', async () => {
    const id = uuidv7();
    await append(id, placed, paid, cancelled, refundRequested);
    await follow(200);
    await until('it is published', caughtUp);
    await append(id, placed, paid, cancelled, refundRequested, refundRecorded);
    await until('that is seen', caughtUp);
    expect((await pool.query('select 1 from open_refunds')).rowCount).toBe(0);
  });
});

describe('a payment or refund that a worker is about to make', () => {
  it('is wanted only while the order waits for it, and all that are asked about at once cost one statement', async () => {
    const wanted = new WantedPayments(pool);
    const [waiting, called, given, owed, refused, closed] = Array.from({ length: 6 }, () => uuidv7()) as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    await append(waiting, placed);
    await append(called, placed, cancelled);
    await append(owed, placed, paid, cancelled, refundRequested);
    await append(given, placed, paid, cancelled, refundRequested, refundRecorded);
    await append(refused, placed, paid, cancelled, refundRequested, refundDeclined(2_990), refundDue(2_990, 2));
    await append(closed, placed, paid, cancelled, refundRequested, refundClosed(2_990));
    const money = { amount: 2_990, currency: 'EUR' } as const;
    const refund = { refundId: 1, paymentId: 'p-1' };
    const statements = jest.spyOn(pool, 'query');
    const replies = await Promise.all(
      [
        { orderId: waiting, ...money },
        { orderId: waiting, ...money, amount: 2_991 },
        { orderId: waiting, ...money, currency: 'USD' as const },
        { orderId: waiting, ...money, refund },
        { orderId: called, ...money },
        { orderId: owed, ...money },
        { orderId: owed, ...money, refund },
        { orderId: owed, ...money, amount: 1, refund },
        { orderId: owed, ...money, refund: { ...refund, paymentId: 'p-2' } },
        { orderId: owed, ...money, refund: { ...refund, refundId: 2 } },
        { orderId: given, ...money, refund },
        { orderId: refused, ...money, refund },
        { orderId: refused, ...money, refund: { ...refund, refundId: 2 } },
        { orderId: closed, ...money, refund },
        { orderId: uuidv7(), ...money },
      ].map((query) => wanted.wanted(query)),
    );
    expect(statements).toHaveBeenCalledTimes(1);
    expect(replies.map((reply) => reply.wanted)).toEqual([
      ...['yes', 'other', 'other', 'unknown'],
      ...['no', 'no', 'yes', 'other', 'other', 'unknown'],
      ...['no', 'no', 'yes', 'no', 'unknown'],
    ]);
  });
});
