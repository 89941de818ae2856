import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OrderEvent } from '@tandem/contracts/order-events';
import type { HealthReport } from '@tandem/telemetry/health';
import { connect } from 'amqplib';
import { AnalyticsDatabase, eventually, testConfig } from './analytics-database.testing.ts';
import { Analytics } from './app.module.ts';
import { paid, placed, shipped } from './histories.testing.ts';
import { OrderLog, type TestEvent, type TestRecord } from './order-log.testing.ts';
import { serve } from './serve.ts';

const ORDERS = 25_000;
const STEPS: OrderEvent[] = [
  placed('EUR', 100),
  paid('EUR', 100),
  shipped(true),
  { type: 'order.delivered.v1', data: {} },
];
const START_MS = Date.parse('2026-01-01T00:00:00.000Z');

let database: AnalyticsDatabase;
let log: OrderLog;
let app: NestFastifyApplication | undefined;

beforeAll(async () => {
  const config = testConfig();
  database = await AnalyticsDatabase.create(config);
  log = await OrderLog.create(config.KAFKA_BROKERS, database.names, 6);
});
afterAll(async () => {
  await app?.close();
  await log?.remove();
  await database?.remove();
  const connection = await connect(database.config.RABBITMQ_URL);
  const channel = await connection.createChannel();
  await channel.deleteQueue(database.names.queues.analyticsQueries);
  await channel.deleteQueue(database.names.queues.analyticsControl);
  await connection.close();
});

it('of 100,000 events ten that cannot be read are parked; the others are counted, nothing waits, and it stays ready', async () => {
  const orders = Array.from({ length: ORDERS }, () => randomUUID());
  const events = STEPS.flatMap((event, step) =>
    orders.map((orderId, index): TestEvent => {
      return { orderId, version: step + 1, at: new Date(START_MS + step * 60_000 + index), event };
    }),
  );
  const records = log.chain.records(events);
  // The last events of ten orders, far from each other: nothing comes behind them.
  for (let poison = 1; poison <= 10; poison += 1)
    (records[records.length - poison * 2_000] as TestRecord).value = 'poison';
  await log.send(records);
  await log.checkpoint();

  app = await serve(database.config);
  const analytics = app.get(Analytics);
  const position = events.length;
  const reply = await eventually(async () => {
    const answer = await analytics.queries.summary({ after: position, waitMsMax: 10_000 }, Infinity);
    expect(answer.outcome).toBe('counted');
    return answer;
  }, 120_000);
  expect(reply).toMatchObject({
    outcome: 'counted',
    summary: {
      orders: { placed: ORDERS, paid: ORDERS, shipped: ORDERS, delivered: ORDERS - 10, cancelled: 0 },
      revenue: [{ currency: 'EUR', gross: 100 * ORDERS, net: 100 * ORDERS }],
      position,
      parked: 10,
    },
  });
  const lag = await analytics.queries.lag({ waitMsMax: 0 }, Infinity);
  expect(lag).toMatchObject({ outcome: 'counted', lag: { lag: 0, oldestAgeMs: null, parked: 10 } });
  const response = await fetch(`${await app.getUrl()}/health/ready`);
  expect(response.status).toBe(200);
  const { checks } = (await response.json()) as HealthReport;
  expect(checks['parked']?.reason).toBe('10 records are parked');
  expect(checks['events']).toEqual({ status: 'ok' });
}, 180_000);

it('what nobody can read on either of its queues is parked', async () => {
  const { analyticsQueries, analyticsControl } = database.names.queues;
  const connection = await connect(database.config.RABBITMQ_URL);
  const channel = await connection.createConfirmChannel();
  for (const queue of [analyticsQueries, analyticsControl]) channel.sendToQueue(queue, Buffer.from('rubbish'));
  await channel.waitForConfirms();
  await connection.close();
  for (const source of [analyticsQueries, analyticsControl])
    await eventually(async () => {
      const { parked } = (await app?.get(Analytics).parked.list({ filter: { source }, limit: 10 })) ?? {};
      expect(parked).toMatchObject([{ source, reason: 'not JSON in UTF-8' }]);
    });
});
