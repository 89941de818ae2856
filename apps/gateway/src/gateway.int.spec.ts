import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LagReply, RevenueReply, SummaryReply } from '@tandem/contracts/analytics-queries';
import { CancelOrderMessage, CommandReply, FindOutcome, PlaceOrderMessage } from '@tandem/contracts/order-commands';
import {
  GetOrder,
  GetNewestPositionReply,
  GetOrderReply,
  ListOrderEventsReply,
  ListOrders,
  ListOrdersReply,
} from '@tandem/contracts/order-queries';
import type { Order } from '@tandem/contracts/order';
import {
  ListParked,
  ListParkedReply,
  PARKED_SERVICES,
  parkedPatterns,
  RedriveParked,
  type ParkedMessage,
  type ParkedService,
} from '@tandem/contracts/parked';
import type { Rejection } from '@tandem/contracts/rejections';
import { ANALYTICS_QUERIES, INTAKE, ORDER_COMMANDS, ORDER_QUERIES, topology } from '@tandem/contracts/topology';
import { Logger } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { invalidMessage, OutcomeUnknownError, UnavailableError } from '@tandem/transports/rabbitmq/errors';
import { RabbitMqServer, type RequestContext } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { RABBITMQ_URL } from '@tandem/transports/rabbitmq/rabbitmq.testing';
import { DEADLINE_MS, removeQueues, settings as settingsIn } from './gateway.testing.ts';
import { commandIdOf } from './orders/idempotency.ts';
import { Problem } from './problem.ts';
import { serve, type Serving } from './serve.ts';

// The gateway on a real RabbitMQ. What answers behind it is a real server of the same transport whose handlers say what
// each test needs said; every answer is held to its contract before it goes out.

Logger.overrideLogger(false);

const run = promisify(execFile);
const NAMESPACE = `gw-${randomUUID().slice(0, 8)}`;
const names = topology(NAMESPACE);

const settings = (more: Record<string, string> = {}) => settingsIn(NAMESPACE, more);

/** New orders are taken; see operator/intake.int.spec.ts for when they are not. */
const OPEN = { paused: false, revision: 0, since: '2026-01-01T00:00:00.000Z' };

/** What operators ask of orders, and repeats. */
const CONTROL = [INTAKE.set, ORDER_QUERIES.outcome];

type Handler = (data: never, context: RequestContext) => unknown;
const answers = new Map<string, Handler>();
/** What a pattern answers until a test says otherwise. */
const answer = (pattern: string, handler: Handler) => answers.set(pattern, handler);

const servers: RabbitMqServer[] = [];
let gateway: Serving;
let url: string;

beforeAll(async () => {
  for (const [queue, patterns] of [
    [names.queues.orderCommands, Object.values(ORDER_COMMANDS)],
    [names.queues.orderQueries, Object.values(ORDER_QUERIES)],
    [names.queues.orderControl, [...CONTROL, ...Object.values(parkedPatterns('orders'))]],
    [names.queues.analyticsQueries, Object.values(ANALYTICS_QUERIES)],
    [names.queues.analyticsControl, Object.values(parkedPatterns('analytics'))],
    [names.queues.paymentsQueries, Object.values(parkedPatterns('payments'))],
  ] as const) {
    const server = new RabbitMqServer({ url: RABBITMQ_URL, queue, name: queue, prefetchCount: 64 });
    for (const pattern of patterns)
      server.addHandler(pattern, (async (data: never, context: RequestContext) =>
        answers.get(pattern)?.(data, context)) as never);
    if (queue === names.queues.orderControl) server.addHandler(INTAKE.get, (async () => OPEN) as never);
    await server.listen(() => undefined);
    servers.push(server);
  }
  await until('the servers are ready', () => servers.every((server) => server.ready));
  gateway = await serve(settings());
  url = await gateway.app.getUrl();
  await until('the gateway is ready', async () => (await fetch(`${url}/health/ready`)).status === 200);
});

afterAll(async () => {
  await gateway.stop();
  for (const server of servers) await server.close();
  await removeQueues(names);
});

afterEach(() => answers.clear());

const body = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };
const ORDER_ID = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';
const order = (more: Partial<Order> = {}): Order =>
  ({
    ...body,
    id: ORDER_ID,
    version: 1,
    status: 'placed',
    lines: [{ id: 1, sku: 'A-1', quantity: 2, unitPrice: 1250 }],
    adjustments: [],
    total: 2500,
    delivery: 'standard',
    payment: { method: 'card' },
    refundStatus: 'none',
    placedAt: '2026-01-01T00:00:00.000Z',
    position: 7,
    ...more,
  }) as Order;

const place = (headers: Record<string, string> = {}, to = url) =>
  fetch(`${to}/v1/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
const cancel = (headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/orders/${ORDER_ID}/cancel`, { method: 'POST', headers });

async function problemOf(response: Response): Promise<Problem> {
  const problem = Problem.parse(await response.json());
  expect(problem.status).toBe(response.status);
  return problem;
}

describe('commands', () => {
  it('are sent with what the body says, an id that the key makes, and the trace', async () => {
    const messages: unknown[] = [];
    const traces: unknown[] = [];
    answer(ORDER_COMMANDS.place, (data, context) => {
      messages.push(PlaceOrderMessage.parse(data));
      traces.push([context.traceparent, context.tracestate]);
      expect(context.remainingMs()).toBeLessThanOrEqual(DEADLINE_MS);
      return CommandReply.parse({ outcome: 'accepted', order: order(), replayed: messages.length > 1 });
    });
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = {
      'idempotency-key': 'k-1',
      traceparent: `01-${trace}-00f067aa0ba902b7-ff-x`,
      tracestate: 'a=1,b=2',
    };
    const first = await place(headers);
    expect(first.status).toBe(201);
    expect(await first.json()).toEqual(order());
    expect(first.headers.get('location')).toBe(`/v1/orders/${ORDER_ID}`);
    expect(first.headers.get('etag')).toBe('"1"');
    expect(first.headers.get('idempotency-key')).toBe('k-1');
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    const second = await place(headers);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(messages[0]).toEqual({
      commandId: expect.any(String),
      body: { ...body, adjustments: [], delivery: 'standard', payment: { method: 'card' } },
    });
    expect(messages[1]).toEqual(messages[0]);
    expect(traces).toEqual(
      Array(2).fill([expect.stringMatching(new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`)), 'a=1,b=2']),
    );
  });

  it('carry the order and the version that If-Match asks for', async () => {
    const messages: CancelOrderMessage[] = [];
    answer(ORDER_COMMANDS.cancel, (data) => {
      messages.push(CancelOrderMessage.parse(data));
      const rejection = { code: 'version_mismatch', status: 'placed', version: 4 };
      return CommandReply.parse({ outcome: 'rejected', rejection, replayed: true });
    });
    const refused = await cancel({ 'if-match': '"3"', 'idempotency-key': 'k-1' });
    expect(messages).toEqual([{ commandId: expect.any(String), orderId: ORDER_ID, ifVersion: 3, body: {} }]);
    expect(refused.status).toBe(412);
    expect(refused.headers.get('etag')).toBe('"4"');
    expect(refused.headers.get('idempotency-replayed')).toBe('true');
    await cancel({ 'if-match': '*', 'idempotency-key': 'k-1' });
    expect(messages[1]).not.toHaveProperty('ifVersion');
    await cancel({ 'if-match': '"3", "x", W/"4"', 'if-none-match': '"5"' });
    expect(messages[2]).toMatchObject({ ifVersion: [3, 4], unlessVersion: [5] });
    await cancel({ 'if-none-match': '*' });
    expect(messages[3]).toMatchObject({ ifVersion: [] });
  });

  const rejections: Record<Rejection['code'], [Rejection, number]> = {
    order_not_found: [{ code: 'order_not_found', orderId: ORDER_ID }, 404],
    order_closed: [{ code: 'order_closed', status: 'delivered', version: 4 }, 409],
    order_shipped_in_part: [{ code: 'order_shipped_in_part', status: 'paid', version: 3 }, 409],
    order_not_ready: [{ code: 'order_not_ready', status: 'placed', version: 1 }, 409],
    line_unknown: [{ code: 'line_unknown', status: 'paid', version: 2, lineId: 9 }, 422],
    line_exceeded: [{ code: 'line_exceeded', status: 'paid', version: 2, lineId: 1, remaining: 1 }, 422],
    refund_exceeded: [{ code: 'refund_exceeded', status: 'paid', version: 2, remaining: 100 }, 422],
    nothing_to_refund: [{ code: 'nothing_to_refund', status: 'paid', version: 3 }, 409],
    payment_mismatch: [{ code: 'payment_mismatch', status: 'placed', version: 1, total: 2990, currency: 'EUR' }, 422],
    already_paid: [{ code: 'already_paid', status: 'paid', version: 2, paymentId: 'p-1' }, 409],
    refund_unknown: [{ code: 'refund_unknown', status: 'paid', version: 2, refundId: 1 }, 422],
    total_too_large: [{ code: 'total_too_large', total: 2990, totalMax: 2000 }, 400],
    nothing_to_ship: [{ code: 'nothing_to_ship', status: 'paid', version: 4 }, 409],
    too_many_events: [{ code: 'too_many_events', status: 'paid', version: 500, eventsMax: 500 }, 409],
    refund_settled: [{ code: 'refund_settled', status: 'paid', version: 4, refundId: 1 }, 409],
    version_mismatch: [{ code: 'version_mismatch', status: 'paid', version: 2 }, 412],
    total_mismatch: [{ code: 'total_mismatch', total: 2500 }, 400],
    reference_taken: [{ code: 'reference_taken', orderId: ORDER_ID }, 409],
    key_reused: [{ code: 'key_reused' }, 422],
    unstorable: [{ code: 'unstorable', detail: 'A value is too long' }, 400],
  };
  const rows = Object.values(rejections).map(([rejection, status]) => ({ code: rejection.code, status, rejection }));
  it.each(rows)('that are refused by $code are $status', async ({ rejection, status }) => {
    answer(ORDER_COMMANDS.cancel, () => CommandReply.parse({ outcome: 'rejected', rejection, replayed: false }));
    const response = await cancel();
    expect(response.status).toBe(status);
    expect(response.headers.get('idempotency-key')).toMatch(/./);
    expect((await problemOf(response)).code).toBe(rejection.code);
  });

  it('that nobody answers are 504, never 503, with the key that makes repeating safe', async () => {
    answer(ORDER_COMMANDS.place, () => pause(DEADLINE_MS + 300));
    for (const headers of [{ 'idempotency-key': '"k-1"' }, {}] as Record<string, string>[]) {
      const began = performance.now();
      const response = await place(headers);
      expect(performance.now() - began).toBeGreaterThan(DEADLINE_MS - 50);
      const problem = await problemOf(response);
      expect(problem).toMatchObject({ status: 504, code: 'outcome_unknown', retryable: true });
      expect(problem.idempotencyKey).toMatch(headers['idempotency-key'] === undefined ? /^[0-9a-f-]{36}$/ : /^k-1$/);
      expect(response.headers.get('idempotency-key')).toBe(problem.idempotencyKey);
    }
  });

  it('are 503 when the service says that nothing was done, 504 when it does not know itself', async () => {
    answer(ORDER_COMMANDS.place, () => {
      throw new UnavailableError('The database is away');
    });
    const untaken = await place();
    expect(await problemOf(untaken)).toMatchObject({ status: 503, code: 'unavailable', retryable: true });
    expect(untaken.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    answer(ORDER_COMMANDS.place, () => {
      throw new OutcomeUnknownError('The connection was lost during the commit');
    });
    expect(await problemOf(await place())).toMatchObject({ status: 504, code: 'outcome_unknown' });
  });

  it('that were answered before are answered again though the service cannot take them now', async () => {
    answer(ORDER_COMMANDS.cancel, () => {
      throw new UnavailableError('The database is read-only');
    });
    const rejection = { code: 'order_closed', status: 'cancelled', version: 2 } as const;
    answer(ORDER_QUERIES.outcome, () => ({ reply: { outcome: 'rejected', rejection, replayed: true } }));
    expect((await cancel()).status).toBe(503);
    expect(await problemOf(await cancel({ 'idempotency-key': 'k-1' }))).toMatchObject({ code: 'order_closed' });
    answer(ORDER_QUERIES.outcome, () => {
      throw new UnavailableError('The database is away');
    });
    expect(await problemOf(await cancel({ 'idempotency-key': 'k-1' }))).toMatchObject({
      code: 'unavailable',
      detail: expect.stringMatching(/^This attempt did nothing/),
    });
  });

  it('past the limit of those that wait are 503 at once, and taken again when there is room', async () => {
    const narrow = await serve(settings({ IN_FLIGHT_MAX: '2', DEADLINE_MS: '30000' }));
    const at = await narrow.app.getUrl();
    try {
      const { promise: free, resolve } = Promise.withResolvers<void>();
      let asked = 0;
      answer(ORDER_COMMANDS.place, async () => {
        asked += 1;
        await free;
        return { outcome: 'rejected', rejection: { code: 'total_mismatch', total: 1 }, replayed: false };
      });
      const waiting = [place({}, at), place({}, at)];
      await until('both wait', () => asked === 2);
      const refused = await place({}, at);
      expect(await problemOf(refused)).toMatchObject({ status: 503, code: 'unavailable', retryable: true });
      expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(asked).toBe(2);
      // Operators have room of their own, and what was answered before is answered.
      answer(INTAKE.set, () => ({ outcome: 'accepted', intake: OPEN, replayed: false }));
      const admin = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"paused":true}' };
      expect((await fetch(`${at}/v1/admin/intake`, admin)).status).toBe(200);
      answer(parkedPatterns('orders').redrive, () => ({ outcomes: [], cursor: null }));
      const redrive = { ...admin, body: JSON.stringify({ service: 'orders', by: 'me' }) };
      expect((await fetch(`${at}/v1/admin/parked/redrive`, redrive)).status).not.toBe(503);
      const looked: unknown[] = [];
      answer(ORDER_QUERIES.outcome, (data) => {
        const { pattern, message } = FindOutcome.parse(data);
        looked.push(pattern);
        const known = message.commandId === commandIdOf('development', ORDER_COMMANDS.place, '', 'known');
        return { reply: known ? { outcome: 'accepted', order: order(), replayed: true } : null };
      });
      const repeated = await place({ 'idempotency-key': 'known' }, at);
      expect([repeated.status, repeated.headers.get('idempotency-replayed')]).toEqual([201, 'true']);
      expect(await problemOf(await place({ 'idempotency-key': 'new' }, at))).toMatchObject({
        code: 'unavailable',
        detail: expect.stringMatching(/^This attempt did nothing/),
      });
      expect(looked).toEqual([ORDER_COMMANDS.place, ORDER_COMMANDS.place]);
      resolve();
      const [first, second] = await Promise.all(waiting);
      const third = await place({}, at);
      expect([first?.status, second?.status, third.status]).toEqual([400, 400, 400]);
    } finally {
      await narrow.stop();
    }
  });

  it('are 503 with what is not understood when orders is of another version', async () => {
    answer(ORDER_COMMANDS.place, () => {
      throw invalidMessage([{ message: 'Unrecognized key: "giftWrap"', path: ['body', 'lines', 0] }]);
    });
    const response = await place();
    expect(response.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await problemOf(response)).toMatchObject({
      status: 503,
      code: 'version_differs',
      retryable: true,
      detail: expect.stringContaining('giftWrap'),
      errors: [{ pointer: '/lines/0' }],
    });
  });

  it('are 503 when orders does not know the command yet', async () => {
    answer(ORDER_COMMANDS.cancel, () => {
      throw new RpcException({
        status: 'error',
        code: 'unknown_pattern',
        message: 'orders.commands does not answer this',
      });
    });
    expect(await problemOf(await cancel())).toMatchObject({ status: 503, code: 'version_differs' });
  });

  it('are 409 with the code of orders when a later orders refuses them for a new reason', async () => {
    const rejection = { code: 'order_haunted', status: 'paid', version: 2 };
    answer(ORDER_COMMANDS.cancel, () => ({ outcome: 'rejected', rejection, replayed: false }));
    const problem = await problemOf(await cancel());
    expect(problem).toMatchObject({ status: 409, code: 'refused', detail: expect.stringContaining('order_haunted') });
  });

  it('are 500 when the service fails, and say nothing of why', async () => {
    answer(ORDER_COMMANDS.place, () => {
      throw new Error('relation "secrets" does not exist');
    });
    const response = await place();
    const text = await response.clone().text();
    expect(text).not.toContain('secrets');
    expect(await problemOf(response)).toMatchObject({ status: 500, code: 'internal' });
  });
});

describe('queries', () => {
  it('show an order, and 304 to who has it already', async () => {
    answer(ORDER_QUERIES.get, (data) => {
      expect(GetOrder.parse(data)).toEqual({ orderId: ORDER_ID });
      return GetOrderReply.parse({ order: order({ version: 3 }) });
    });
    const full = await fetch(`${url}/v1/orders/${ORDER_ID}`);
    expect([full.status, full.headers.get('etag'), await full.json()]).toEqual([200, '"3"', order({ version: 3 })]);
    const same = await fetch(`${url}/v1/orders/${ORDER_ID}`, { headers: { 'if-none-match': '"2", "3"' } });
    expect([same.status, await same.text()]).toEqual([304, '']);
  });

  it('say that there is no such order', async () => {
    answer(ORDER_QUERIES.get, () => GetOrderReply.parse({ order: null }));
    answer(ORDER_QUERIES.events, () => ListOrderEventsReply.parse({ found: false, events: [], more: false }));
    for (const path of ['', '/events']) {
      const response = await fetch(`${url}/v1/orders/${ORDER_ID}${path}`);
      expect(await problemOf(response)).toMatchObject({ status: 404, code: 'order_not_found' });
    }
  });

  it('hand on the filters and where the page before ended', async () => {
    const asked: ListOrders[] = [];
    answer(ORDER_QUERIES.list, (data) => {
      asked.push(ListOrders.parse(data));
      return ListOrdersReply.parse({ orders: [order()], more: asked.length === 1 });
    });
    const first = await fetch(`${url}/v1/orders?customer=c-42&status=placed&limit=1`);
    const { data, nextCursor } = (await first.json()) as { data: Order[]; nextCursor: string };
    expect(data).toEqual([order()]);
    const last = await fetch(`${url}/v1/orders?customer=c-42&status=placed&limit=2&cursor=${nextCursor}`);
    expect(await last.json()).toEqual({ data: [order()], nextCursor: null });
    const filter = { customerId: 'c-42', status: 'placed' };
    expect(asked).toEqual([
      { filter, limit: 1 },
      { filter, limit: 2, before: ORDER_ID },
    ]);
  });

  it('that nobody answers are 504, and nothing about a key', async () => {
    answer(ORDER_QUERIES.get, () => pause(DEADLINE_MS + 300));
    const problem = await problemOf(await fetch(`${url}/v1/orders/${ORDER_ID}`));
    expect(problem).toMatchObject({ status: 504, code: 'no_answer', retryable: true });
    expect(problem).not.toHaveProperty('idempotencyKey');
  });
});

describe('analytics', () => {
  const summary = {
    orders: { placed: 1, paid: 0, shipped: 0, delivered: 0, cancelled: 0 },
    revenue: [{ currency: 'EUR', placedAmount: 2500, averageOrder: 2500, gross: 0, refunded: 0, net: 0 }],
    refunds: [],
    rates: { asOf: null, last: [] },
    position: 7,
    parked: 0,
  };

  it('waits for `after`, for less than the deadline, and not without it', async () => {
    const asked: unknown[] = [];
    answer(ANALYTICS_QUERIES.summary, (data) => {
      asked.push(data);
      return SummaryReply.parse({ outcome: 'counted', summary });
    });
    expect(await (await fetch(`${url}/v1/analytics/summary`)).json()).toEqual(summary);
    await fetch(`${url}/v1/analytics/summary?after=7`);
    await fetch(`${url}/v1/analytics/summary?currency=EUR&from=2026-01-01T00:30:00Z&to=2026-01-01T01:00:00.001Z`);
    const range = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-01T02:00:00.000Z' };
    expect(asked).toEqual([
      { waitMsMax: 0 },
      { after: 7, waitMsMax: 300 },
      { currency: 'EUR', ...range, waitMsMax: 0 },
    ]);
  });

  it('does not wait for a position that no event has, and asks again whether it has one', async () => {
    let newest = 41;
    let asked = 0;
    answer(ORDER_QUERIES.newestPosition, () => ((asked += 1), GetNewestPositionReply.parse({ position: newest })));
    answer(ANALYTICS_QUERIES.summary, () => SummaryReply.parse({ outcome: 'counted', summary }));
    const at = (position: number) => fetch(`${url}/v1/analytics/summary?after=${position}`);
    expect(await problemOf(await at(42))).toMatchObject({
      status: 400,
      code: 'invalid_request',
      errors: [{ parameter: 'after', detail: 'is a position that no event has yet: the newest is 41' }],
    });
    newest = 42;
    expect((await at(42)).status).toBe(200);
    // Orders is not asked again about a position that exists.
    expect((await at(42)).status).toBe(200);
    expect(asked).toBe(2);
  });

  it('that is behind is 503 with how far it is', async () => {
    answer(ANALYTICS_QUERIES.summary, () => SummaryReply.parse({ outcome: 'behind', position: 5 }));
    const response = await fetch(`${url}/v1/analytics/summary?after=7`);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await problemOf(response)).toMatchObject({ status: 503, code: 'not_counted_yet', position: 5 });
  });

  it('that would be too large says what to ask for instead', async () => {
    const detail = 'The range holds more than 14400 rows: name a currency or a shorter range.';
    answer(ANALYTICS_QUERIES.revenue, () => RevenueReply.parse({ outcome: 'too_large', detail }));
    const problem = await problemOf(await fetch(`${url}/v1/analytics/revenue`));
    expect(problem).toMatchObject({ status: 400, code: 'answer_too_large', detail });
  });
});

describe('the lag', () => {
  it('is 503 while Kafka is away', async () => {
    answer(ANALYTICS_QUERIES.lag, () => LagReply.parse({ outcome: 'log_away', detail: 'Kafka could not be asked' }));
    const response = await fetch(`${url}/v1/analytics/lag`);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await problemOf(response)).toMatchObject({ status: 503, code: 'unavailable' });
  });
});

describe('the broker', () => {
  it('without a queue of that name takes nothing: 503', async () => {
    const lonely = await serve(settings({ NAMESPACE: `${NAMESPACE}-nobody` }));
    try {
      const response = await place({}, await lonely.app.getUrl());
      expect(await problemOf(response)).toMatchObject({ status: 503, code: 'unavailable' });
    } finally {
      await lonely.stop();
    }
  });

  it('may be away when the gateway starts and come later', async () => {
    const port = await freePort();
    const began = performance.now();
    const early = await serve(settings({ RABBITMQ_URL: `amqp://guest:guest@127.0.0.1:${port}` }));
    let door: Server | undefined;
    const sockets = new Set<Socket>();
    try {
      expect(performance.now() - began).toBeLessThan(10_000);
      const at = await early.app.getUrl();
      expect((await fetch(`${at}/health/live`)).status).toBe(200);
      const red = await fetch(`${at}/health/ready`);
      expect([red.status, await red.json()]).toEqual([
        503,
        {
          status: 'unavailable',
          service: 'gateway',
          checks: {
            rabbitmq: { status: 'unavailable', reason: expect.any(String) },
            services: { status: 'ok' },
            intake: { status: 'degraded', reason: expect.any(String) },
          },
        },
      ]);
      expect((await place({}, at)).status).toBe(503);

      const broker = new URL(RABBITMQ_URL);
      door = createServer((client) => {
        const server = connectTcp(Number(broker.port || 5672), broker.hostname);
        for (const [from, to] of [
          [client, server],
          [server, client],
        ] as const) {
          sockets.add(from);
          from.on('error', () => to.destroy());
          from.pipe(to);
        }
      }).listen(port, '127.0.0.1');
      await until('the gateway is ready', async () => (await fetch(`${at}/health/ready`)).status === 200, 20_000);
      answer(ORDER_COMMANDS.place, () => CommandReply.parse({ outcome: 'accepted', order: order(), replayed: false }));
      expect((await place({}, at)).status).toBe(201);
    } finally {
      await early.stop();
      for (const socket of sockets) socket.destroy();
      door?.close();
    }
  });
});

describe('parked messages', () => {
  const message = (service: ParkedService, row: number): ParkedMessage => ({
    id: `${service}-${row}`,
    service,
    broker: 'rabbitmq',
    source: 'somewhere',
    reason: 'not JSON',
    parkedAt: '2026-01-01T00:00:00.000Z',
    state: 'parked',
  });
  const asked: string[] = [];
  beforeEach(() => {
    asked.length = 0;
    for (const service of PARKED_SERVICES) {
      const all = [5, 4, 3, 2, 1].map((row) => message(service, row));
      answer(parkedPatterns(service).list, (data) => {
        const { limit, before } = ListParked.parse(data);
        const rest = before === undefined ? all : all.slice(all.findIndex(({ id }) => id === before) + 1);
        return ListParkedReply.parse({ parked: rest.slice(0, limit), more: rest.length > limit });
      });
      answer(parkedPatterns(service).redrive, (data) => {
        const { ids, by } = RedriveParked.parse(data);
        asked.push(`${service}: ${ids.length} by ${by}`);
        return { outcomes: ids.map((id) => ({ id, outcome: 'done' })) };
      });
    }
  });
  const everyId = PARKED_SERVICES.flatMap((service) => [5, 4, 3, 2, 1].map((row) => `${service}-${row}`));
  const redrive = (json: object) =>
    fetch(`${url}/v1/admin/parked/redrive`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(json),
    });

  it.each([1, 2, 4, 5, 7])('are listed in pages of %i, service by service, each once', async (limit) => {
    const ids: string[] = [];
    let cursor: string | null = '';
    for (let pages = 0; cursor !== null && pages < 30; pages += 1) {
      const query = new URLSearchParams({ limit: String(limit), ...(cursor !== '' && { cursor }) });
      const page = (await (await fetch(`${url}/v1/admin/parked?${query}`)).json()) as {
        data: ParkedMessage[];
        nextCursor: string | null;
      };
      expect(page.data.length).toBeLessThanOrEqual(limit);
      ids.push(...page.data.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect([cursor, ids]).toEqual([null, everyId]);
  });

  it('are redriven by their ids, each at its service, on behalf of the subject', async () => {
    const ids = ['orders-2', 'analytics-1', 'orders-1'];
    expect(await (await redrive({ ids })).json()).toEqual({
      outcomes: ids.map((id) => ({ id, outcome: 'done' })),
      nextCursor: null,
      unanswered: [],
    });
    expect(asked.sort()).toEqual(['analytics: 1 by development', 'orders: 2 by development']);
  });

  it('are redriven all, some at a time', async () => {
    const ids: string[] = [];
    let cursor: string | null | undefined;
    for (let pages = 0; cursor !== null && pages < 30; pages += 1) {
      const answered = await redrive({ filter: {}, limit: 4, ...(cursor && { cursor }) });
      const page = (await answered.json()) as { outcomes: { id: string }[]; nextCursor: string | null };
      ids.push(...page.outcomes.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect(ids).toEqual(everyId);
  });

  describe('of services of which one hangs and one fails', () => {
    const list = async (query: object) => {
      const response = await fetch(`${url}/v1/admin/parked?${new URLSearchParams({ ...query })}`);
      expect(response.status).toBe(200);
      const { data, ...rest } = (await response.json()) as { data: ParkedMessage[] };
      return { ids: data.map(({ id }) => id), ...rest };
    };
    beforeEach(() => {
      answer(parkedPatterns('analytics').list, () => pause(DEADLINE_MS + 300));
      answer(parkedPatterns('payments').list, () => {
        throw new Error('A bug');
      });
    });

    it('are listed as far as the others answer, with the names of those that did not', async () => {
      expect(await list({})).toEqual({
        ids: everyId.filter((id) => id.startsWith('orders')),
        nextCursor: null,
        unanswered: ['analytics', 'payments'],
      });
      // A full page is followed by a request for the next one.
      expect(await list({ limit: '5' })).toMatchObject({ nextCursor: expect.any(String), unanswered: ['analytics'] });
    });

    it('are shown by npm run parked as far as the others answer, which says who did not and ends with 1', async () => {
      const tool = fileURLToPath(new URL('../../../tools/parked.mjs', import.meta.url));
      const env = { ...process.env, GATEWAY_URL: url, FORCE_COLOR: '0' };
      const failed = await run('node', [tool, 'list'], { env, timeout: 60_000 }).catch((error: unknown) => error);
      expect(failed).toMatchObject({
        code: 1,
        stdout: expect.stringContaining('5 in all.'),
        stderr: 'Without what analytics and payments parked: no answer came from there.\n',
      });
    });

    it('are 504 where only the one that hangs was asked, and where nobody answers', async () => {
      const ask = (query: string) => fetch(`${url}/v1/admin/parked?${query}`);
      expect(await problemOf(await ask('service=analytics'))).toMatchObject({ status: 504, code: 'no_answer' });
      answer(parkedPatterns('orders').list, () => pause(DEADLINE_MS + 300));
      expect(await problemOf(await ask(''))).toMatchObject({ status: 504, code: 'no_answer' });
    });

    it('are redriven of the others, and each has an outcome that says what is known of it', async () => {
      expect(await (await redrive({ filter: {} })).json()).toMatchObject({
        outcomes: [5, 4, 3, 2, 1].map((row) => ({ id: `orders-${row}`, outcome: 'done' })),
        unanswered: ['analytics', 'payments'],
      });
      answer(parkedPatterns('analytics').redrive, () => pause(DEADLINE_MS + 300));
      answer(parkedPatterns('payments').redrive, () => {
        throw new UnavailableError('The database is away');
      });
      const ids = ['analytics-1', 'orders-1', 'payments-1'];
      expect(await (await redrive({ ids })).json()).toEqual({
        outcomes: [
          { id: 'analytics-1', outcome: 'unanswered', detail: 'No answer came: it may have been redriven' },
          { id: 'orders-1', outcome: 'done' },
          { id: 'payments-1', outcome: 'unanswered', detail: 'Nothing was done: The database is away' },
        ],
        nextCursor: null,
        unanswered: ['analytics', 'payments'],
      });
      expect(await problemOf(await redrive({ ids: ['payments-1'] }))).toMatchObject({ status: 503 });
      // Of one it is known that nothing was done, of the other it is not: 503 would say too much.
      expect(await problemOf(await redrive({ ids: ['payments-1', 'analytics-1'] }))).toMatchObject({ status: 504 });
    });
  });

  it.each([
    [{}, '/ids'],
    [{ ids: ['orders-1'], filter: {} }, '/ids'],
    [{ ids: ['orders-1'], cursor: 'x' }, '/ids'],
    [{ ids: ['stock-1'] }, '/ids/0'],
    [{ filter: {}, cursor: 'x' }, '/cursor'],
  ])('are not redriven by %j', async (json, pointer) => {
    const problem = await problemOf(await redrive(json));
    expect(problem).toMatchObject({ status: 400, code: 'invalid_request', errors: [{ pointer }] });
    expect(asked).toEqual([]);
  });

  it('are not found, or stay where they are, with a problem that says so', async () => {
    const { show, redrive: again, drop } = parkedPatterns('orders');
    const act = async (action: string, json: object) =>
      problemOf(
        await fetch(`${url}/v1/admin/parked/orders-1/${action}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(json),
        }),
      );
    answer(show, () => ({ parked: null }));
    expect(await problemOf(await fetch(`${url}/v1/admin/parked/orders-1`))).toMatchObject({ code: 'parked_not_found' });
    answer(again, () => ({ outcomes: [{ id: 'orders-1', outcome: 'refused', detail: 'it is still rubbish' }] }));
    expect(await act('redrive', {})).toMatchObject({
      status: 409,
      code: 'redrive_refused',
      detail: 'orders-1 stays parked: it is still rubbish',
    });
    answer(drop, () => ({ outcome: { id: 'orders-1', outcome: 'settled', state: 'redriven' } }));
    expect(await act('drop', { reason: 'x' })).toMatchObject({ status: 409, code: 'parked_settled' });
    expect(await act('drop', {})).toMatchObject({ status: 400, errors: [{ pointer: '/reason' }] });
  });
});

describe('one connection', () => {
  /** What a client sends without waiting for answers, and all that comes back. */
  function pipelining(...requests: string[]) {
    const { port } = gateway.app.getHttpServer().address() as AddressInfo;
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(requests.join('')));
    const got = { text: '', closed: false };
    socket.on('data', (data) => (got.text += data.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => (got.closed = true));
    const statuses = () => [...got.text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
    return { socket, got, statuses };
  }
  const request = (method: string, path: string, content = '') =>
    `${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${content.length}\r\n\r\n${content}`;
  const placing = (reference: string) => request('POST', '/v1/orders', JSON.stringify({ ...body, reference }));

  /** Answers placements when it is told to, in turn; gives the references that were asked for. */
  function heldPlacements() {
    const asked: string[] = [];
    const releases: (() => void)[] = [];
    answer(ORDER_COMMANDS.place, async (data) => {
      const { reference } = PlaceOrderMessage.parse(data).body;
      asked.push(reference ?? '');
      await new Promise<void>((resolve) => releases.push(resolve));
      return CommandReply.parse({
        outcome: 'accepted',
        order: order({ reference } as Partial<Order>),
        replayed: false,
      });
    });
    return { asked, release: () => releases.shift()?.() };
  }

  it.each([
    ['garbage', 'NOT HTTP\r\n\r\n', 400],
    ['a method that nobody knows', 'BREW / HTTP/1.1\r\nhost: x\r\n\r\n', 501],
    ['headers that are too large', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
    ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n', 501],
    ['a path that cannot be decoded', 'GET /v1/orders/%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
  ])('answers an order before %s that came after it', async (_what, bad, status) => {
    const { asked, release } = heldPlacements();
    const { got, statuses, socket } = pipelining(placing('a'), bad);
    await until('the order is under way', () => asked.length === 1);
    socket.write(bad);
    await fetch(`${url}/health/live`);
    expect(got).toEqual({ text: '', closed: false });
    release();
    await until('the connection is closed', () => got.closed);
    expect(statuses()).toEqual([201, status]);
    expect(got.text).toMatch(/HTTP\/1\.1 201 .*"reference":"a".*HTTP\/1\.1 \d{3} .*application\/problem\+json/s);
  });

  it('runs one after the other what changes something', async () => {
    answer(ORDER_QUERIES.get, () => GetOrderReply.parse({ order: order() }));
    const { asked, release } = heldPlacements();
    const { statuses, socket } = pipelining(placing('a'), placing('b'), request('GET', `/v1/orders/${ORDER_ID}`));
    await until('the first is under way', () => asked.length === 1);
    // Whatever else was sent is there, too, by the time that a later request of another connection has been answered.
    await fetch(`${url}/v1/orders/${ORDER_ID}`);
    expect(asked).toEqual(['a']);
    expect(statuses()).toEqual([]);
    release();
    await until('the second is under way', () => asked.length === 2);
    expect(statuses()).toEqual([201]);
    release();
    await until('all are answered', () => statuses().length === 3);
    expect([asked, statuses()]).toEqual([
      ['a', 'b'],
      [201, 201, 200],
    ]);
    socket.destroy();
  });

  it('runs nothing more of a client that has gone', async () => {
    const { asked, release } = heldPlacements();
    const { socket, got } = pipelining(placing('a'), placing('b'));
    await until('the first is under way', () => asked.length === 1);
    socket.resetAndDestroy();
    await until('the connection is closed', () => got.closed);
    release();
    await fetch(`${url}/health/live`);
    expect(asked).toEqual(['a']);
  });

  it('answers two hundred requests that were sent at once, bodies and all, in their order', async () => {
    answer(ORDER_COMMANDS.place, (data) => {
      const { reference } = PlaceOrderMessage.parse(data).body;
      return CommandReply.parse({
        outcome: 'accepted',
        order: order({ reference } as Partial<Order>),
        replayed: false,
      });
    });
    const { got, statuses, socket } = pipelining(...Array.from({ length: 200 }, (_, n) => placing(`r-${n}`)));
    await until('all are answered', () => statuses().length === 200, 60_000);
    const references = [...got.text.matchAll(/"reference":"r-(\d+)"/g)].map(([, n]) => Number(n));
    expect(references).toEqual([...references.keys()]);
    expect(new Set(statuses())).toEqual(new Set([201]));
    socket.destroy();
  }, 70_000);

  it('is held back while it takes nothing, and goes on when it does', async () => {
    const page = Array.from({ length: 100 }, () => order({ metadata: { text: 'x'.repeat(4_000) } } as Partial<Order>));
    let asked = 0;
    answer(ORDER_QUERIES.list, () => {
      asked += 1;
      return { orders: page, more: false };
    });
    const { socket, got } = pipelining(...Array<string>(100).fill(request('GET', '/v1/orders?limit=100')));
    socket.removeAllListeners('data').pause();
    let before = -1;
    await until('nothing more is asked', async () => {
      await pause(500);
      const same = asked > 0 && asked === before;
      before = asked;
      return same;
    });
    // What the system keeps on the way is some megabytes, which are tens of these answers.
    expect(asked).toBeLessThan(75);
    let bytes = 0;
    socket.on('data', (data) => (bytes += data.length)).resume();
    const length = JSON.stringify({ data: page, nextCursor: null }).length;
    await until('all are answered', () => bytes > 100 * length, 60_000);
    expect([asked, got.closed]).toEqual([100, false]);
    socket.destroy();
  }, 70_000);
});

describe('a stop', () => {
  it('answers what is under way, then takes nothing more', async () => {
    const stopping = await serve(settings({ STOP_DELAY_MS: '2000', DEADLINE_MS: '30000' }));
    const at = await stopping.app.getUrl();
    await until('the gateway is ready', async () => (await fetch(`${at}/health/ready`)).status === 200);
    const { promise: free, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    answer(ORDER_COMMANDS.place, async () => {
      asked += 1;
      await free;
      return CommandReply.parse({ outcome: 'accepted', order: order(), replayed: false });
    });
    const underWay = Array.from({ length: 20 }, () => place({}, at));
    await until('all are under way', () => asked === 20);
    const stopped = stopping.stop();
    // Seen by the load balancer before connections are refused.
    expect((await fetch(`${at}/health/ready`)).status).toBe(503);
    expect((await fetch(`${at}/health/live`)).status).toBe(200);
    const isRefused = () =>
      fetch(`${at}/health/live`).then(
        () => false,
        () => true,
      );
    await until('nothing more is taken', isRefused, 20_000);
    resolve();
    expect((await Promise.all(underWay)).map(({ status }) => status)).toEqual(Array(20).fill(201));
    const answered = performance.now();
    await stopped;
    expect(performance.now() - answered).toBeLessThan(10_000);
  });
});

/** Waits, bounded, until something is so. */
async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await pause(20);
  }
}

/** A port that nobody listens on at the moment. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
