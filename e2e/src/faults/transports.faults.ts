import { randomUUID } from 'node:crypto';
import { Balancer } from '@tandem/tools/balancer.mjs';
import { connect, type Channel, type ChannelModel, type ConsumeMessage, type Options } from 'amqplib';
import type pg from 'pg';
import { AmqpProxy } from './amqp-proxy.testing.ts';
import { expectNothingLostAndNothingTwice } from './counted.testing.ts';
import { cutAgainAndAgain, startLoad, stopLoads } from './load.testing.ts';
import { databaseOf, topicOf } from './log.testing.ts';
import { ROOT, type OwnService } from './services.testing.ts';
import { dieAt, startSystem, type System } from './system.testing.ts';
import { pause, until } from './waiting.testing.ts';

const BATCH = 'application/vnd.tandem.batch+json';
const MIB = 1_048_576;

let system: System;
/** Between the gateway and RabbitMQ, and between orders and RabbitMQ. */
let gatewayProxy: AmqpProxy;
let ordersProxy: AmqpProxy;
let gateway: OwnService;
let orders: OwnService;
let events: pg.Client;
let queue: string;
const placed = new Map<string, { id: string; version: number }>();

beforeAll(async () => {
  system = await startSystem();
  const { address } = system.servers.rabbitmq;
  [gatewayProxy, ordersProxy] = await Promise.all([AmqpProxy.open(address), AmqpProxy.open(address)]);
  queue = topicOf(system, 'orders.commands');
  [gateway, orders] = await Promise.all([
    system.start('gateway', { RABBITMQ_URL: gatewayProxy.url }),
    startOrders(),
    system.start('analytics'),
  ]);
  events = await databaseOf(system, 'orders');
}, 300_000);

afterEach(stopLoads);

afterAll(async () => {
  await events?.end();
  await system?.close();
  await Promise.all([gatewayProxy?.close(), ordersProxy?.close()]);
});

const startOrders = () => system.start('orders', { RABBITMQ_URL: ordersProxy.url });

const body = { customerId: 'c-1', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 1, unitPrice: 100 }] };

/** One placement through the gateway; what was placed is counted in the end. */
async function place(key: string = randomUUID()) {
  const started = performance.now();
  const response = await fetch(`${gateway.url}/v1/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
  const answer = (await response.json()) as { id: string; version: number; code?: string; idempotencyKey?: string };
  if (response.status === 201) placed.set(key, answer);
  return { status: response.status, answer, headers: response.headers, tookMs: performance.now() - started };
}
const expectPlaced = async () => expect(await place()).toMatchObject({ status: 201 });

/** What a placement over RabbitMQ carries. It counts like any other. */
function command(commandId: string = randomUUID()) {
  placed.set(commandId, { id: commandId, version: 1 });
  return { commandId, body };
}
const isDecided = async (commandId: string) =>
  (await events.query('select 1 from commands where id = $1', [commandId])).rowCount === 1;
const parked = async () =>
  (await events.query('select queue, reason, content from parked order by id')).rows as {
    queue: string;
    reason: string;
    content: Buffer;
  }[];

/** What follows the rows that were parked before. */
async function parkedSince(count: number, expected: number) {
  await until(`${expected} messages are parked`, async () => (await parked()).length >= count + expected);
  return (await parked()).slice(count);
}

describe('invariants 12 and 18: a message put straight on the queue of commands', () => {
  let model: ChannelModel;
  let channel: Channel;
  const replies: ConsumeMessage[] = [];

  beforeAll(async () => {
    model = await connect(system.servers.rabbitmq.address);
    channel = await model.createChannel();
    await channel.consume('amq.rabbitmq.reply-to', (message) => message && replies.push(message), { noAck: true });
  });
  // The service lives, and nothing waits on its queue.
  afterEach(async () => {
    await expectPlaced();
    expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 0, consumerCount: 1 });
  });
  afterAll(() => model?.close());

  const send = (content: unknown, options: Options.Publish = {}) =>
    channel.sendToQueue(queue, Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content)), options);

  /** Sends a request, and returns what is answered. */
  async function ask(content: unknown, options: Options.Publish = {}) {
    const correlationId = randomUUID();
    send(content, { replyTo: 'amq.rabbitmq.reply-to', correlationId, ...options });
    let answer: ConsumeMessage | undefined;
    await until('it is answered', () => {
      answer = replies.find(({ properties }) => properties.correlationId === correlationId);
      return answer !== undefined;
    });
    return JSON.parse(String(answer?.content)) as { response?: unknown; err?: { code: string; message: string } };
  }

  it.each([
    ['that is not JSON', Buffer.from('{"pattern":'), /not JSON/],
    ['that is not text', Buffer.from([0xff, 0xfe, 0x00]), /not JSON/],
    ['whose envelope is a list', [{ pattern: 'order.place' }], /not an object/],
    ['whose envelope has no pattern', { data: {}, id: '1' }, /no pattern/],
    ['that is larger than 1 MiB', { pattern: 'order.place', data: 'x'.repeat(MIB) }, /more than 1048576/],
  ])('%s is parked with its reason, and answered when somebody waits', async (_, content, reason) => {
    const before = (await parked()).length;
    send(content);
    const [unasked] = await parkedSince(before, 1);
    expect(unasked).toMatchObject({ queue, reason: expect.stringMatching(reason) });
    const whole = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    expect(unasked?.content.equals(whole)).toBe(true);
    expect(await ask(content)).toMatchObject({
      err: { code: 'invalid_message', message: expect.stringMatching(reason) },
    });
    expect(await parkedSince(before, 2)).toHaveLength(2);
  });

  it('with an unknown pattern is answered, or parked when nobody waits', async () => {
    const before = (await parked()).length;
    expect(await ask({ pattern: 'order.eat', data: {} })).toMatchObject({ err: { code: 'unknown_pattern' } });
    send({ pattern: 'order.eat', data: {} });
    expect(await parkedSince(before, 1)).toMatchObject([{ reason: expect.stringContaining('order.eat') }]);
  });

  it('whose data break the contract is answered with where, also just below 1 MiB', async () => {
    const before = (await parked()).length;
    const large = { commandId: randomUUID(), body: { ...body, customerId: 'x'.repeat(MIB - 1_000) } };
    for (const data of [{ commandId: 'no-uuid', body }, large, null])
      expect(await ask({ pattern: 'order.place', data })).toMatchObject({ err: { code: 'invalid_message' } });
    expect(await parked()).toHaveLength(before);
    expect(await isDecided(large.commandId)).toBe(false);
  });

  it('of several items settles them one by one: bad ones are answered and parked alone', async () => {
    const before = (await parked()).length;
    const [first, second] = [command(), command()];
    const items = [
      { id: 'first', pattern: 'order.place', data: first },
      'nonsense',
      { id: 'bad data', pattern: 'order.place', data: { commandId: randomUUID(), body: { ...body, lines: [] } } },
      { id: 'no pattern', data: {} },
      { id: 'unknown', pattern: 'order.eat', data: {} },
      { id: 'too late', pattern: 'order.place', data: { commandId: randomUUID(), body }, deadlineMs: 0 },
      { id: 'second', pattern: 'order.place', data: second },
    ];
    const isAnswer = ({ properties }: ConsumeMessage) => properties.contentType === BATCH;
    send({ items }, { replyTo: 'amq.rabbitmq.reply-to', contentType: BATCH });
    const answers = () =>
      replies.filter(isAnswer).flatMap(({ content }) => JSON.parse(String(content)).items as Record<string, unknown>[]);
    await until('all are answered', () => answers().length >= items.length - 1);
    const byId = Object.fromEntries(answers().map((answer) => [answer['id'], answer]));
    expect(byId).toMatchObject({
      first: { response: { outcome: 'accepted', order: { version: 1 } } },
      'bad data': { err: { code: 'invalid_message', issues: [{ path: ['body', 'lines'] }] } },
      'no pattern': { err: { code: 'invalid_message' } },
      unknown: { err: { code: 'unknown_pattern' } },
      'too late': { err: { code: 'expired' } },
      second: { response: { outcome: 'accepted', order: { version: 1 } } },
    });
    expect(answers()).toHaveLength(items.length - 1);
    const alone = await parkedSince(before, 2);
    expect(alone.map(({ content }) => String(content)).sort()).toEqual([
      '"nonsense"',
      JSON.stringify({ id: 'no pattern', data: {} }),
    ]);
    expect(await Promise.all([first, second].map(({ commandId }) => isDecided(commandId)))).toEqual([true, true]);
  });

  it('whose deadline has passed is answered and not run', async () => {
    const commandId = randomUUID();
    const late = { pattern: 'order.place', data: { commandId, body } };
    expect(await ask(late, { headers: { 'x-deadline-ms': 0 } })).toMatchObject({ err: { code: 'expired' } });
    expect(await isDecided(commandId)).toBe(false);
  });
});

describe('invariant 12: an instance that dies', () => {
  const path = 'libs/transports/src/rabbitmq/parked-messages.ts';
  const parking = { module: `file://${ROOT}/${path}`, class: 'ParkedMessages', method: 'park' };
  const read = '^select case when whole_bytes';

  it('at any step of parking, redriving or dropping a message neither loses it nor hides it', async () => {
    expect(await orders.stop()).toBe(0);
    const model = await connect(system.servers.rabbitmq.address);
    const channel = await model.createChannel();
    const waiting = async () => (await channel.checkQueue(queue)).messageCount;
    const die = (points: object[], holds: () => Promise<boolean>) =>
      dieAt(system, 'orders', points, {
        environment: { RABBITMQ_URL: ordersProxy.url },
        afterEach: () => until('what it had taken is somewhere', holds),
      });
    const insert = async (content: unknown) => {
      const { rows } = await events.query(
        `insert into parked (queue, reason, content, properties) values ($1, 'by hand', $2, '{}') returning id`,
        [queue, Buffer.from(JSON.stringify(content))],
      );
      return rows[0].id as string;
    };
    const settledAs = async (id: string) =>
      (await events.query('select settled_as from parked where id = $1', [id])).rows[0].settled_as as string | null;
    const actsOf = async (id: string) =>
      (await events.query('select act, outcome from parked_acts where parked_id = $1', [id])).rows;
    const act = (pattern: string, data: object) =>
      channel.sendToQueue(
        topicOf(system, 'orders.queries'),
        Buffer.from(
          JSON.stringify({ pattern: `orders.parked.${pattern}`, data: { by: 'test', reason: 'a test', ...data } }),
        ),
      );

    const messageId = randomUUID();
    channel.sendToQueue(queue, Buffer.from('rubbish'), { messageId, persistent: true });
    await die(
      [
        { sql: '^savepoint', when: 'before' },
        { sql: '^insert into parked\\s', when: 'after' },
        { sql: '^release savepoint', when: 'after' },
        { ...parking, when: 'after' },
      ],
      async () => (await waiting()) === 1,
    );

    const placing = command();
    const redriven = await insert({ pattern: 'order.place', data: placing });
    act('redrive', { ids: [`orders-${redriven}`] });
    await die(
      [
        { sql: read, when: 'before' },
        { sql: read, when: 'after' },
        { sql: "set settled_as = 'redriven'", when: 'before' },
        { sql: "set settled_as = 'redriven'", when: 'after' },
      ],
      async () => (await settledAs(redriven)) === null || (await isDecided(placing.commandId)) || (await waiting()) > 0,
    );

    const dropped = await insert('nonsense');
    act('drop', { id: `orders-${dropped}` });
    await die(
      [
        { sql: "set settled_as = 'dropped'", when: 'before' },
        { sql: "set settled_as = 'dropped'", when: 'after' },
      ],
      async () => (await settledAs(dropped)) === 'dropped' || (await actsOf(dropped)).length === 0,
    );

    orders = await startOrders();
    const rubbish = "select 1 from parked where properties ->> 'messageId' = $1 and settled_as is null";
    await until('the rubbish is parked', async () => Number((await events.query(rubbish, [messageId])).rowCount) > 0);
    await until('what was redriven is placed', () => isDecided(placing.commandId));
    await until('it counts as redriven', async () => (await settledAs(redriven)) === 'redriven');
    await until('the other one is dropped', async () => (await settledAs(dropped)) === 'dropped');
    expect(await actsOf(redriven)).toContainEqual({ act: 'redrive', outcome: 'done' });
    expect(await actsOf(dropped)).toEqual([{ act: 'drop', outcome: 'done' }]);
    await until('nothing is left on the queue', async () => (await waiting()) === 0);
    await model.close();
  });
});

describe('invariant 5: an outcome is told as it is', () => {
  it('a command that expires while orders is away is not run: 504, and the key is free', async () => {
    await until('orders takes requests', async () => (await place(randomUUID())).status === 201);
    orders.kill('SIGKILL');
    await orders.exited;
    // Before the gateway knows that nobody takes it: later it would be refused at once.
    const key = randomUUID();
    expect(await place(key)).toMatchObject({ status: 504, answer: { code: 'outcome_unknown', idempotencyKey: key } });
    const { rows } = await events.query('select count(*)::int as count from commands');
    await pause(200);
    orders = await startOrders();
    await pause(300);
    expect((await events.query('select count(*)::int as count from commands')).rows).toEqual(rows);
    const again = await place(key);
    expect(again.status).toBe(201);
    expect(again.headers.get('idempotency-replayed')).toBeNull();
  });

  it('a command that no queue takes is a 503 at once, and the next one is placed when orders is back', async () => {
    expect(await orders.stop()).toBe(0);
    const model = await connect(system.servers.rabbitmq.address);
    model.on('error', () => undefined);
    const channel = await model.createChannel();
    await channel.deleteQueue(queue);
    const key = randomUUID();
    const refused = await place(key);
    expect(refused).toMatchObject({ status: 503, answer: { code: 'unavailable' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.tookMs).toBeLessThan(1_000);
    orders = await startOrders();
    expect(await place(key)).toMatchObject({ status: 201 });
    // Deleted under a consumer's feet, it is declared again.
    await channel.deleteQueue(queue);
    const next = randomUUID();
    await until('orders are placed again', async () => (await place(next)).status === 201);
    await model.close();
  });

  it('an answer lost after the handler ran is a 504, and the same key then gets the first answer', async () => {
    for (let turn = 0; turn < 3; turn += 1) {
      ordersProxy.mute();
      const key = randomUUID();
      const unknown = await place(key);
      expect(unknown).toMatchObject({ status: 504, answer: { code: 'outcome_unknown', idempotencyKey: key } });
      const { rows } = await events.query('select order_id from commands order by decided_at desc limit 1');
      ordersProxy.cut();
      await orders.untilReady();
      const again = await place(key);
      expect(again).toMatchObject({ status: 201, answer: { id: rows[0].order_id } });
      expect(again.headers.get('idempotency-replayed')).toBe('true');
    }
  });

  it('an answer path that is cut and comes back in time costs nobody an answer', async () => {
    const load = startLoad([gateway.url], { customers: 4 });
    for (let turn = 0; turn < 5; turn += 1) {
      await pause(300);
      ordersProxy.mute();
      await pause(100);
      ordersProxy.cut();
    }
    await pause(500);
    for (const [key, order] of await load.finish()) placed.set(key, order);
    const statuses = [...new Set(load.attempts.map(({ status }) => status))];
    expect(statuses.filter((status) => ![201, 503, 504].includes(status))).toEqual([]);
    // Redelivered, replayed and answered anew: the gateway's own connection was never touched.
    expect(statuses).toEqual([201]);
  });

  it('connections to RabbitMQ that are cut, 20 times, make 503 or 504, and everything flows on by itself', async () => {
    const load = startLoad([gateway.url], { customers: 4 });
    const cutBoth = () => {
      expect(gatewayProxy.connections * ordersProxy.connections).toBeGreaterThan(0);
      for (const proxy of [gatewayProxy, ordersProxy]) proxy.cut();
    };
    await cutAgainAndAgain(load, cutBoth, 50);
    for (const [key, order] of await load.finish()) placed.set(key, order);
    const statuses = new Set(load.attempts.map(({ status }) => status));
    expect([...statuses].filter((status) => ![201, 503, 504].includes(status))).toEqual([]);
    await Promise.all([gateway.untilReady(), orders.untilReady()]);
  });

  it('the broker cancels the consumer of replies: it is set up again, and every outcome stays true', async () => {
    const load = startLoad([gateway.url], { customers: 4 });
    const replies = 'amq.rabbitmq.reply-to';
    const consumers = gatewayProxy.consumersOf(replies).length;
    const { connections } = gatewayProxy;
    // One for each client of the gateway: commands, queries, control and repeats of orders, queries and control of analytics, payments.
    expect(consumers).toBe(7);
    for (let turn = 0; turn < 5; turn += 1) {
      const before = load.attempts.length;
      await until('requests are answered', () => load.attempts.length > before + 5);
      gatewayProxy.cancelConsumers(replies);
      await until('answers are consumed again', () => gatewayProxy.consumersOf(replies).length === consumers);
    }
    expect(gatewayProxy.connections).toBe(connections);
    const cancelled = performance.now();
    await until('orders are placed again', () =>
      load.attempts.some(({ status, atMs }) => status === 201 && atMs > cancelled),
    );
    for (const [key, order] of await load.finish()) placed.set(key, order);
    const statuses = new Set(load.attempts.map(({ status }) => status));
    expect([...statuses].filter((status) => ![201, 503, 504].includes(status))).toEqual([]);
    await gateway.untilReady();
  });
});

describe('invariant 12: a rolling restart under load', () => {
  let balancer: Balancer;
  beforeAll(async () => {
    balancer = await Balancer.open();
  });
  afterAll(() => balancer?.close());

  it('of two gateways and two orders fails no request', async () => {
    const startGateway = async () => {
      // Longer than the balancer takes to notice.
      const instance = await system.start('gateway', { STOP_DELAY_MS: '2000' });
      balancer.add(instance);
      return instance;
    };
    const gateways = await Promise.all([startGateway(), startGateway()]);
    const others = await Promise.all([system.start('orders'), system.start('orders')]);
    await until('both are green', () => balancer.green.length === 2);
    expect(await orders.stop()).toBe(0);
    const load = startLoad([balancer.url], { customers: 6, everyMs: 15 });
    const moreRequests = (count: number) => {
      const wanted = load.attempts.length + count;
      return until(`${count} more requests are answered`, () => load.attempts.length >= wanted);
    };
    try {
      for (let round = 0; round < 3; round += 1) {
        const at = round % 2;
        const [freshGateway, freshOrders] = await Promise.all([startGateway(), system.start('orders')]);
        await until('the new one is green', () => balancer.green.includes(freshGateway));
        await moreRequests(20);
        expect(await Promise.all([gateways[at]?.stop(), others[at]?.stop(), moreRequests(1)])).toEqual([
          0,
          0,
          undefined,
        ]);
        await moreRequests(20);
        [gateways[at], others[at]] = [freshGateway, freshOrders];
      }
    } finally {
      for (const [key, order] of await load.finish()) placed.set(key, order);
    }
    expect(load.attempts.filter(({ status }) => status !== 201)).toEqual([]);
  });

  it('and all the rest of it lost nothing and counted nothing twice', () =>
    expectNothingLostAndNothingTwice(system, gateway.url, placed));
});
