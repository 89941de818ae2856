import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { SwitchIntakeMessage, type Intake } from '@tandem/contracts/intake';
import { FindOutcome } from '@tandem/contracts/order-commands';
import { INTAKE, ORDER_COMMANDS, ORDER_QUERIES, topology } from '@tandem/contracts/topology';
import { FanoutPublisher } from '@tandem/transports/rabbitmq/fanout';
import { RabbitMqServer } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { RABBITMQ_URL, until } from '@tandem/transports/rabbitmq/rabbitmq.testing';
import { readConfig } from '../config.ts';
import { removeQueues } from '../gateway.testing.ts';
import { commandIdOf } from '../orders/idempotency.ts';
import { Problem } from '../problem.ts';
import { serve, type Serving } from '../serve.ts';

// Gateways on a real RabbitMQ. Behind them, in the place of orders, is a real server of the same transport that keeps the
// switch in memory and tells of it on the real exchange.

Logger.overrideLogger(false);

const NAMESPACE = `intake-${randomUUID().slice(0, 8)}`;
const names = topology(NAMESPACE);

const servers: RabbitMqServer[] = [];
let everyGateway: FanoutPublisher;
let intake: Intake;
let placed = 0;
let asked = 0;
/** What is awaited before it is said whether orders are taken. */
let answers: Promise<void> = Promise.resolve();
const gateways: Serving[] = [];

beforeAll(async () => {
  everyGateway = new FanoutPublisher({
    url: RABBITMQ_URL,
    exchange: names.exchanges.operator,
    name: NAMESPACE,
    confirmTimeoutMs: 3_000,
    onFailure: () => undefined,
  });
  const set = async (data: unknown) => {
    const { body } = SwitchIntakeMessage.parse(data);
    intake = { ...body, revision: intake.revision + 1, since: new Date().toISOString() };
    await everyGateway.publish(intake);
    return { outcome: 'accepted', intake, replayed: false };
  };
  const get = async () => {
    asked += 1;
    await answers;
    return intake;
  };
  const outcome = async (data: unknown) => {
    const { message } = FindOutcome.parse(data);
    const known = message.commandId === commandIdOf('development', ORDER_COMMANDS.place, '', 'known');
    const rejection = { code: 'total_mismatch', total: 1 };
    return { reply: known ? { outcome: 'rejected', rejection, replayed: true } : null };
  };
  const refuse = async () => {
    placed += 1;
    return { outcome: 'rejected', rejection: { code: 'total_mismatch', total: 1 }, replayed: false };
  };
  for (const [queue, handlers] of [
    [names.queues.orderCommands, { [ORDER_COMMANDS.place]: refuse, [ORDER_COMMANDS.cancel]: refuse }],
    [names.queues.orderControl, { [INTAKE.set]: set, [INTAKE.get]: get, [ORDER_QUERIES.outcome]: outcome }],
    [names.queues.analyticsQueries, {}],
  ] as const) {
    const server = new RabbitMqServer({ url: RABBITMQ_URL, queue, name: queue, prefetchCount: 64 });
    for (const [pattern, handler] of Object.entries(handlers)) server.addHandler(pattern, handler as never);
    await server.listen(() => undefined);
    servers.push(server);
  }
  await until('the servers are ready', () => servers.every((server) => server.ready), 30_000);
});

afterAll(async () => {
  await everyGateway.close();
  for (const server of servers) await server.close();
  await removeQueues(names);
});

beforeEach(() => {
  intake = { paused: false, revision: 0, since: new Date().toISOString() };
  placed = 0;
  asked = 0;
});

afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.stop()));
});

/** One more gateway; resolves as `main` would see it listen. */
async function start(): Promise<string> {
  const gateway = await serve(readConfig({ RABBITMQ_URL, NAMESPACE, GATEWAY_PORT: '0', LOG_LEVEL: 'silent' }));
  gateways.push(gateway);
  const url = await gateway.app.getUrl();
  await until('the gateway is ready', async () => (await fetch(`${url}/health/ready`)).status === 200, 30_000);
  return url;
}

const headers = { 'content-type': 'application/json' };
const post = (url: string, path: string, body: object, more: Record<string, string> = {}) =>
  fetch(`${url}${path}`, { method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify(body) });
const place = (url: string, key?: string) =>
  post(
    url,
    '/v1/orders',
    { customerId: 'c', currency: 'EUR', lines: [{ sku: 'A', quantity: 1, unitPrice: 1 }] },
    key === undefined ? {} : { 'idempotency-key': key },
  );
const statusOf = async (answer: Promise<Response>) => (await answer).status;
const turn = (url: string, body: object) => post(url, '/v1/admin/intake', body);

describe('the switch of the operator', () => {
  it('stops new orders at every gateway, though it was turned at one, and starts them again', async () => {
    const [one, two] = [await start(), await start()];
    expect(await Promise.all([statusOf(place(one)), statusOf(place(two))])).toEqual([400, 400]);

    const turned = await turn(one, { paused: true, reason: 'The stock is counted' });
    expect([turned.status, await turned.json()]).toEqual([200, intake]);
    for (const url of [one, two]) {
      await until('it is paused', async () => (await statusOf(place(url))) === 503, 30_000);
      const refused = await place(url);
      expect(Problem.parse(await refused.json())).toMatchObject({
        status: 503,
        code: 'intake_paused',
        retryable: true,
        detail: expect.stringContaining('The stock is counted'),
      });
      expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(refused.headers.get('idempotency-key')).toMatch(/./);
    }
    // What was answered before the pause is answered as it was.
    for (const url of [one, two]) {
      const repeated = await place(url, 'known');
      expect([repeated.status, repeated.headers.get('idempotency-replayed')]).toEqual([400, 'true']);
      expect(await statusOf(place(url, 'new'))).toBe(503);
    }
    const before = placed;
    for (const url of [one, two]) expect(await statusOf(place(url))).toBe(503);
    expect(placed).toBe(before);
    // Whatever else may be asked of orders goes on.
    const orderId = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';
    expect(await statusOf(post(two, `/v1/orders/${orderId}/cancel`, {}))).toBe(400);
    expect(await (await fetch(`${two}/v1/admin/intake`)).json()).toEqual(intake);
    expect(await statusOf(fetch(`${two}/health/ready`))).toBe(200);

    expect(await statusOf(turn(two, { paused: false }))).toBe(200);
    for (const url of [one, two])
      await until('orders are taken again', async () => (await statusOf(place(url))) === 400, 30_000);
  });

  it('holds for a gateway that starts later, from its first request on', async () => {
    const one = await start();
    await turn(one, { paused: true });
    const later = await start();
    expect(await statusOf(place(later))).toBe(503);
    expect(placed).toBe(0);
    await turn(later, { paused: false });
    for (const url of [one, later])
      await until('orders are taken again', async () => (await statusOf(place(url))) === 400, 30_000);
  });

  it('refuses orders at a gateway that starts while orders does not say whether they are taken', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    answers = promise;
    // Listens before it has been told.
    const config = readConfig({ RABBITMQ_URL, NAMESPACE, GATEWAY_PORT: '0', DEADLINE_MS: '3500', LOG_LEVEL: 'silent' });
    const gateway = await serve(config);
    gateways.push(gateway);
    const url = await gateway.app.getUrl();
    const refused = await place(url);
    expect(Problem.parse(await refused.json())).toMatchObject({
      code: 'unavailable',
      detail: expect.stringContaining('not known'),
    });
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(placed).toBe(0);
    expect(await (await fetch(`${url}/health/ready`)).json()).toMatchObject({
      checks: { intake: { status: 'degraded' } },
    });
    resolve();
    await until('orders are taken', async () => (await statusOf(place(url))) === 400, 30_000);
  });

  it('is not turned back by an older state that arrives late, nor by what is no state', async () => {
    const one = await start();
    await turn(one, { paused: true });
    await until('it is paused', async () => (await statusOf(place(one))) === 503, 30_000);
    await everyGateway.publish({ paused: false, revision: 0, since: new Date().toISOString() });
    await everyGateway.publish('open');
    // From an orders of a later version, which says more.
    const still = { ...intake, paused: true, revision: intake.revision + 1, reason: 'Still', until: 'tomorrow' };
    await everyGateway.publish(still);
    await until(
      'the last of them was heard',
      async () => ((await (await place(one)).json()) as Problem).detail.includes('Still'),
      30_000,
    );
  });

  it('is asked for from time to time, in case it was not heard', async () => {
    const one = await start();
    // Once when it starts, and once when it listens.
    await until('it has asked', () => asked >= 2, 30_000);
    expect(await statusOf(place(one))).toBe(400);
    intake = { paused: true, revision: 1, since: new Date().toISOString() };
    await until('it is paused', async () => (await statusOf(place(one))) === 503, 45_000);
  });
});
