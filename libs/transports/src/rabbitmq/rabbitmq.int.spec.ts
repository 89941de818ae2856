import { setTimeout as pause } from 'node:timers/promises';
import { Controller, type INestMicroservice, Logger, Module, StandardSchemaValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientRMQ,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  RmqRecordBuilder,
  ServerRMQ,
  Transport,
} from '@nestjs/microservices';
import type { AmqpConnectionManager } from 'amqp-connection-manager';
import { MeasuredClock } from '@tandem/postgres/clock';
import { firstValueFrom, of } from 'rxjs';
import { NotTakenError, OutcomeUnknownError, RemoteError, UnavailableError, invalidMessage } from './errors.ts';
import { RabbitMqClient, type RabbitMqClientOptions } from './rabbitmq-client.ts';
import {
  RabbitMqServer,
  type RabbitMqServerOptions,
  type RequestContext,
  type UnreadableMessage,
} from './rabbitmq-server.ts';
import { methodFrame, PlainClient, queueName, RABBITMQ_URL, shortString, TcpProxy, until } from './rabbitmq.testing.ts';
import { BATCH_CONTENT_TYPE, SENT_AT } from './wire.ts';

Logger.overrideLogger(false);

const closing: (() => Promise<unknown>)[] = [];
let plain: PlainClient;
let queue: string;

beforeEach(async () => {
  queue = queueName();
  plain = await PlainClient.open();
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await plain.close();
  const last = await PlainClient.open();
  await last.channel.deleteQueue(queue);
  await last.close();
});

type Handler = (data: never, context: RequestContext) => unknown;

async function serve(
  handlers: Record<string, Handler>,
  options: Partial<RabbitMqServerOptions> = {},
): Promise<RabbitMqServer> {
  const server = new RabbitMqServer({ url: RABBITMQ_URL, queue, name: 'test server', prefetchCount: 16, ...options });
  for (const [pattern, handler] of Object.entries(handlers))
    server.addHandler(pattern, (async (data: never, context: RequestContext) => handler(data, context)) as never);
  await server.listen(() => undefined);
  closing.push(() => server.close());
  await until('the server is ready', () => server.ready);
  return server;
}

async function call(options: Partial<RabbitMqClientOptions> = {}): Promise<RabbitMqClient> {
  const client = new RabbitMqClient({
    url: RABBITMQ_URL,
    queue,
    name: 'test client',
    deadlineMs: 5000,
    inFlightMax: 1000,
    ...options,
  });
  closing.push(() => client.close());
  await client.connect();
  return client;
}

/** What a promise was rejected with. */
async function failure(work: Promise<unknown>): Promise<Error> {
  return work.then(
    (value) => {
      throw new Error(`Expected a failure, got ${JSON.stringify(value)}`);
    },
    (error: Error) => error,
  );
}

const echo: Handler = (data) => ({ echo: data });
const batchOf = (items: unknown) => ({ items });
const asBatch = { contentType: BATCH_CONTENT_TYPE };
const messages = async () => (await plain.channel.checkQueue(queue)).messageCount;

/** A door that a handler waits at. */
function gate() {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

describe('Nest handlers', () => {
  const Numbers = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value: unknown) =>
        typeof (value as { n?: unknown }).n === 'number'
          ? { value: value as { n: number } }
          : { issues: [{ message: 'is no number', path: ['n'] }] },
    },
  } as const;

  @Controller()
  class Calculator {
    static readonly seen: unknown[] = [];

    @MessagePattern('double', Transport.RMQ)
    double(
      @Payload({
        schema: Numbers,
        pipes: [new StandardSchemaValidationPipe({ exceptionFactory: invalidMessage })],
      } as never)
      { n }: { n: number },
      @Ctx() context: RequestContext,
    ) {
      const { traceparent } = context;
      return { doubled: n * 2, remainingMs: context.remainingMs(), traceparent, pattern: context.getPattern() };
    }

    @MessagePattern({ cmd: 'observable' }, Transport.RMQ)
    observable() {
      return of(1, 2, 3);
    }

    @MessagePattern('nothing', Transport.RMQ)
    nothing() {
      return undefined;
    }

    @MessagePattern('fail', Transport.RMQ)
    fail(@Payload() kind: string): never {
      if (kind === 'unavailable') throw new UnavailableError('the database is away');
      if (kind === 'unknown') throw new OutcomeUnknownError('the commit got no answer');
      throw new Error('password of the database: 12345');
    }

    @MessagePattern('unwritable', Transport.RMQ)
    unwritable() {
      return { sum: 1n };
    }

    @EventPattern('happened', Transport.RMQ)
    happened(@Payload() data: unknown) {
      if (data === 'boom') throw new Error('boom');
      Calculator.seen.push(data);
    }
  }

  @Module({ controllers: [Calculator] })
  class CalculatorModule {}

  const parked: UnreadableMessage[] = [];
  let app: INestMicroservice;
  let client: RabbitMqClient;

  beforeEach(async () => {
    Calculator.seen.length = parked.length = 0;
    const strategy = new RabbitMqServer({
      url: RABBITMQ_URL,
      queue,
      name: 'test app',
      prefetchCount: 16,
      park: async (message) => void parked.push(message),
    });
    app = await NestFactory.createMicroservice(CalculatorModule, { strategy, logger: false });
    closing.push(() => app.close());
    await app.listen();
    await until('the app is ready', () => strategy.ready);
    client = await call();
  });

  test('answer a request with what they return, and know deadline, trace and pattern', async () => {
    const answer = await client.request<Record<string, unknown>>(
      'double',
      { n: 21 },
      { deadlineMs: 900, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    );
    expect(answer).toMatchObject({ doubled: 42, pattern: 'double' });
    expect(answer['traceparent']).toBe('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    expect(answer['remainingMs']).toBeGreaterThan(0);
    expect(answer['remainingMs']).toBeLessThanOrEqual(900);
  });

  test('know deadline and trace of each item of a batch', async () => {
    const answers = await Promise.all(
      [1, 2, 3].map((n) =>
        client.request<Record<string, unknown>>('double', { n }, { deadlineMs: n * 1000, traceparent: `trace ${n}` }),
      ),
    );
    expect(answers.map(({ doubled, traceparent }) => [doubled, traceparent])).toEqual([
      [2, 'trace 1'],
      [4, 'trace 2'],
      [6, 'trace 3'],
    ]);
    expect(answers[0]?.['remainingMs']).toBeLessThanOrEqual(1000);
    expect(answers[2]?.['remainingMs']).toBeGreaterThan(2000);
  });

  test("are reached by Nest's send, by an object pattern, and by a record with headers", async () => {
    expect(await firstValueFrom(client.send('double', { n: 4 }))).toMatchObject({ doubled: 8 });
    expect(await firstValueFrom(client.send({ cmd: 'observable' }, {}))).toBe(3);
    const record = new RmqRecordBuilder({ n: 5 }).setOptions({ headers: { traceparent: 'from a record' } }).build();
    expect(await firstValueFrom(client.send('double', record))).toMatchObject({
      doubled: 10,
      traceparent: 'from a record',
    });
  });

  test('may answer nothing', async () => {
    expect(await client.request('nothing', {})).toBeUndefined();
  });

  test('say that nothing was done, or that nobody knows, and the caller hears exactly that', async () => {
    expect(await failure(client.request('fail', 'unavailable'))).toBeInstanceOf(NotTakenError);
    expect(await failure(client.request('fail', 'unknown'))).toBeInstanceOf(OutcomeUnknownError);
    expect(await failure(firstValueFrom(client.send('fail', 'unavailable')))).toBeInstanceOf(NotTakenError);
  });

  test('that throw anything else keep its text to themselves', async () => {
    const error = await failure(client.request('fail', 'oops'));
    expect(error).toBeInstanceOf(RemoteError);
    expect(error).toMatchObject({ code: 'internal' });
    expect(error.message).not.toContain('12345');
  });

  test('that answer what JSON cannot hold fail alone', async () => {
    const [bad, good] = await Promise.allSettled([
      client.request('unwritable', {}),
      client.request('double', { n: 1 }),
    ]);
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'internal' } });
    expect(good).toMatchObject({ status: 'fulfilled', value: { doubled: 2 } });
  });

  test('refuse data that breaks their schema, with the place', async () => {
    expect(await failure(client.request('double', { n: 'two' }))).toMatchObject({
      name: 'RemoteError',
      code: 'invalid_message',
      issues: [{ path: ['n'], message: 'is no number' }],
    });
  });

  test('that are not there are named', async () => {
    expect(await failure(client.request('halve', {}))).toMatchObject({ code: 'unknown_pattern', message: /halve/ });
  });

  test('take events, which are acked when done and parked when the handler fails', async () => {
    await firstValueFrom(client.emit('happened', { n: 1 }), { defaultValue: undefined });
    await firstValueFrom(client.emit('happened', 'boom'), { defaultValue: undefined });
    await firstValueFrom(client.emit('unheard', 'of'), { defaultValue: undefined });
    await until('both are parked', () => parked.length === 2);
    expect(Calculator.seen).toEqual([{ n: 1 }]);
    expect(parked.map(({ reason }) => reason).sort()).toEqual([
      'no handler for the event unheard',
      'the handler failed: Internal server error',
    ]);
    await app.close();
    expect(await messages()).toBe(0);
  });

  test('serve a stock Nest client', async () => {
    const stock = new ClientRMQ({ urls: [RABBITMQ_URL], queue, queueOptions: { durable: true } });
    closing.push(() => stock.close());
    expect(await firstValueFrom(stock.send('double', { n: 3 }))).toMatchObject({ doubled: 6 });
    expect(await firstValueFrom(stock.send({ cmd: 'observable' }, {}))).toBe(3);
    expect(await failure(firstValueFrom(stock.send('double', {})))).toMatchObject({ code: 'invalid_message' });
    expect(await failure(firstValueFrom(stock.send('halve', {})))).toMatchObject({ code: 'unknown_pattern' });
    await firstValueFrom(stock.emit('happened', 'stock'), { defaultValue: undefined });
    await until('the event was handled', () => Calculator.seen.includes('stock'));
  });

  test('serve ten lines of amqplib, with or without an id in the body', async () => {
    plain.send(queue, { pattern: 'double', data: { n: 8 } }, { correlationId: 'mine' });
    plain.send(queue, { pattern: 'double', data: { n: 9 }, id: 'other' }, { correlationId: 'other' });
    await until('both answers', () => plain.replies.length === 2);
    expect(plain.replies.map(({ properties }) => properties.correlationId as string).sort()).toEqual(['mine', 'other']);
    expect(plain.bodies()).toContainEqual(
      expect.objectContaining({ response: expect.objectContaining({ doubled: 16 }), isDisposed: true }),
    );
  });
});

describe('coalescing', () => {
  test('requests of one turn travel in as few messages as the limits allow', async () => {
    await plain.channel.assertQueue(queue, { durable: true });
    const client = await call({ deadlineMs: 3_000 });
    const outcomes = Promise.allSettled(Array.from({ length: 200 }, (_, n) => client.request('count', { n })));
    const sizes: number[] = [];
    await until('all have arrived', async () => (await messages()) === 4);
    const next = () => plain.channel.get(queue, { noAck: true });
    for (let message = await next(); message; message = await next()) {
      const { items } = JSON.parse(message.content.toString()) as { items: { data: { n: number } }[] };
      expect(message.properties.contentType).toBe(BATCH_CONTENT_TYPE);
      sizes.push(items.length);
    }
    expect(sizes).toEqual([64, 64, 64, 8]);
    await outcomes;
  });

  test('a message stays below its bytes', async () => {
    await plain.channel.assertQueue(queue, { durable: true });
    const client = await call({ deadlineMs: 3_000, batchBytesMax: 10_000 });
    const outcomes = Promise.allSettled(
      Array.from({ length: 20 }, () => client.request('count', { text: 'ü'.repeat(1000) })),
    );
    await until('all have arrived', async () => (await messages()) === 5);
    for (let message = await plain.channel.get(queue, { noAck: true }); message;)
      message = (expect(message.content.length).toBeLessThan(10_000), await plain.channel.get(queue, { noAck: true }));
    await outcomes;
  });

  test('answers of one turn travel in one message and do not wait for a slower one', async () => {
    const slow = gate();
    await serve({ slow: () => slow.passed, echo });
    const items = ['echo', 'slow', 'echo', 'echo'].map((pattern, n) => ({ id: `${n}`, pattern, data: n }));
    plain.send(queue, batchOf(items), asBatch);
    await until('the fast answers', () => plain.replies.length === 1);
    expect(plain.bodies()).toEqual([
      { items: [0, 2, 3].map((n) => ({ id: `${n}`, response: { echo: n }, isDisposed: true })) },
    ]);
    slow.open();
    await until('the slow answer', () => plain.replies.length === 2);
    expect(plain.bodies()[1]).toEqual({ items: [{ id: '1', isDisposed: true }] });
    expect(plain.replies[1]?.properties.contentType).toBe(BATCH_CONTENT_TYPE);
  });

  test('answers above the limit of a message are cut', async () => {
    await serve({ big: () => 'x'.repeat(1000) }, { replyBytesMax: 3000 });
    const items = Array.from({ length: 6 }, (_, n) => ({ id: `${n}`, pattern: 'big', data: n }));
    plain.send(queue, batchOf(items), asBatch);
    await until('all answers', () => plain.replies.length === 3);
    expect(plain.bodies()).toEqual(
      Array.from({ length: 3 }, () => ({ items: [expect.anything(), expect.anything()] })),
    );
  });

  test('a thousand requests at once each get their own answer', async () => {
    await serve({ echo });
    const client = await call();
    const numbers = Array.from({ length: 1000 }, (_, n) => n);
    const answers = await Promise.all(numbers.map((n) => client.request('echo', n)));
    expect(answers).toEqual(numbers.map((n) => ({ echo: n })));
  });

  test('a stock Nest server is served one request a message', async () => {
    const stock = new ServerRMQ({ urls: [RABBITMQ_URL], queue, queueOptions: { durable: true } });
    stock.addHandler('echo', (async (data: unknown) => ({ echo: data })) as never);
    stock.addHandler('fail', (async () => Promise.reject(new Error('no'))) as never);
    await new Promise<void>((resolve) => void stock.listen(() => resolve()));
    closing.push(() => stock.close());
    const client = await call({ batchItemsMax: 1 });
    expect(await Promise.all([client.request('echo', 1), client.request('echo', 2)])).toEqual([
      { echo: 1 },
      { echo: 2 },
    ]);
    expect(await failure(client.request('nobody', 1))).toBeInstanceOf(RemoteError);
  });
});

describe('what cannot be run', () => {
  test('a bad item is answered alone, its siblings are run', async () => {
    await serve({ echo });
    const items = [{ id: 'a', pattern: 'echo', data: 1 }, { id: 'b' }, { id: 'c', pattern: 'halve', data: 1 }];
    plain.send(queue, batchOf(items), asBatch);
    await until('the answers', () => plain.replies.length === 1);
    expect(plain.bodies()).toEqual([
      {
        items: expect.arrayContaining([
          { id: 'a', response: { echo: 1 }, isDisposed: true },
          { id: 'b', err: expect.objectContaining({ status: 'error', code: 'invalid_message' }), isDisposed: true },
          { id: 'c', err: expect.objectContaining({ status: 'error', code: 'unknown_pattern' }), isDisposed: true },
        ]),
      },
    ]);
    await until('the message was acked', async () => (await messages()) === 0);
  });

  test('an item without an id, whom nobody can answer, is parked alone', async () => {
    const parked: UnreadableMessage[] = [];
    await serve({ echo }, { park: async (message) => void parked.push(message) });
    plain.send(
      queue,
      batchOf([
        { pattern: 'echo', data: 1 },
        { id: 'b', pattern: 'echo', data: 2 },
      ]),
      asBatch,
    );
    await until('the answer and the parking', () => plain.replies.length === 1 && parked.length === 1);
    expect(parked[0]?.content.toString()).toBe('{"pattern":"echo","data":1}');
  });

  test('items that no well-behaved client sends are answered and parked, but a flood of them is only answered', async () => {
    const parked: UnreadableMessage[] = [];
    await serve({ echo }, { park: async (message) => void parked.push(message) });
    for (const batch of [0, 1, 2])
      plain.send(
        queue,
        batchOf(Array.from({ length: 50 }, (_, item) => ({ id: `${batch}-${item}`, data: 1 }))),
        asBatch,
      );
    const answers = () => plain.bodies().flatMap((body) => (body as { items: { err: { code: string } }[] }).items);
    await until('all are answered', () => answers().length === 150);
    expect(new Set(answers().map(({ err }) => err.code))).toEqual(new Set(['invalid_message']));
    await until('all messages are acked', async () => (await messages()) === 0);
    expect(parked).toHaveLength(100);
    expect(parked[0]).toMatchObject({ reason: 'an item without a pattern' });
  });

  test('an unreadable message is parked as it came, answered when somebody asks, and the next is served', async () => {
    const parked: UnreadableMessage[] = [];
    const server = await serve({ echo }, { park: async (message) => void parked.push(message) });
    const bad = [Buffer.from('not JSON'), Buffer.alloc(2_000_000, 'x'), { items: [] }, Buffer.alloc(0), [1]];
    for (const body of bad) plain.send(queue, body, { correlationId: 'bad' });
    plain.channel.sendToQueue(queue, Buffer.from('nobody asks'), { headers: { origin: 'test' } });
    plain.send(queue, { pattern: 'echo', data: 'still here' }, { correlationId: 'good' });
    await until('all are parked', () => parked.length === 6);
    await until('all are answered', () => plain.replies.length === 6);
    expect(parked.map(({ content }) => content.toString())).toEqual(
      expect.arrayContaining(['not JSON', '{"items":[]}', '', '[1]', 'nobody asks']),
    );
    expect(parked.find(({ content }) => content.includes('nobody'))?.properties.headers).toEqual({ origin: 'test' });
    const codes = plain.bodies().map((body) => (body as { err?: { code: string } }).err?.code);
    expect(codes.filter((code) => code === 'invalid_message')).toHaveLength(5);
    expect(plain.bodies()).toContainEqual({ response: { echo: 'still here' }, isDisposed: true });
    await server.close();
    expect(await messages()).toBe(0);
  });

  test('a message whose headers are too deep to be read comes without them, and stops nobody', async () => {
    const parked: UnreadableMessage[] = [];
    await serve({ echo }, { park: async (message) => void parked.push(message) });
    plain.sendNested(queue, '{"pattern":"unheard of"}', 6_000);
    plain.sendNested(queue, '{"pattern":"shallow"}', 3);
    plain.send(queue, { pattern: 'echo', data: 1 });
    await until('the answer and the parking', () => plain.replies.length === 1 && parked.length === 2);
    expect(parked.map(({ properties }) => properties.headers)).toEqual([
      { 'x-unread-header-bytes': 42_000 },
      { a: { a: { a: {} } } },
    ]);
  });

  test('a message that could not be parked is not lost', async () => {
    const parked: string[] = [];
    let attempts = 0;
    const server = await serve(
      {},
      {
        park: async ({ content }) => {
          if (++attempts === 1) throw new Error('the database is away');
          parked.push(content.toString());
        },
      },
    );
    plain.channel.sendToQueue(queue, Buffer.from('precious'));
    await until('it is parked', () => parked.length === 1);
    expect([attempts, parked]).toEqual([2, ['precious']]);
    await server.close();
    expect(await messages()).toBe(0);
  });

  test('a request whose deadline has passed is not run', async () => {
    const ran: unknown[] = [];
    await serve({ run: (data) => ran.push(data) });
    plain.send(queue, { pattern: 'run', data: 'single' }, { correlationId: 'x', headers: { 'x-deadline-ms': 0 } });
    const items = [
      { id: 'a', pattern: 'run', data: 'late', deadlineMs: 0 },
      { id: 'b', pattern: 'run', data: 'in time', deadlineMs: 5000 },
    ];
    plain.send(queue, batchOf(items), asBatch);
    await until('the answers', () => plain.replies.length === 2);
    expect(JSON.stringify(plain.bodies()).match(/"expired"/g)).toHaveLength(2);
    expect(ran).toEqual(['in time']);
  });

  test('a request is not run when its deadline passed before the delivery, by the time that answers tell', async () => {
    const ran: unknown[] = [];
    // The clock that the instances of the service share is an hour behind this machine's.
    const clock = new MeasuredClock();
    clock.learn(performance.now(), performance.now(), Date.now() - 3_600_000);
    const run: Handler = (data, context) => {
      ran.push(data);
      return [context.remainingMs(), context.getMessage().properties.headers?.[SENT_AT] ?? null];
    };
    await serve({ run }, { clock });
    const client = await call({ deadlineMs: 4_000 });
    expect((await client.request<unknown[]>('run', 'first'))[1]).toBeNull();
    const [remainingMs, sentAt] = await client.request<number[]>('run', 'second');
    expect(remainingMs).toBeLessThanOrEqual(4_000);
    // Never earlier than it was, later by a round trip at most.
    expect(sentAt).toBeLessThanOrEqual(clock.latestMs() + 4_000);
    expect(sentAt).toBeGreaterThan(clock.earliestMs() - 4_000);

    // What a process reads that was stopped after the broker had written to its socket.
    const late = (ms: number) => ({ [SENT_AT]: Math.round(clock.nowMs()) - ms });
    const items = [{ id: 'a', pattern: 'run', data: 'late', deadlineMs: 4_000 }];
    plain.send(queue, batchOf(items), { ...asBatch, headers: late(8_500) });
    const headers = { 'x-deadline-ms': 4_000, ...late(8_500) };
    plain.send(queue, { pattern: 'run', data: 'late' }, { correlationId: 'x', headers });
    plain.send(queue, batchOf([{ ...items[0], data: 'in time' }]), { ...asBatch, headers: late(100) });
    await until('the answers', () => plain.replies.length === 3);
    expect(JSON.stringify(plain.bodies()).match(/"expired"/g)).toHaveLength(2);
    expect(ran).toEqual(['first', 'second', 'in time']);
  });

  test('a request that waited in the queue past its deadline is never delivered', async () => {
    await plain.channel.assertQueue(queue, { durable: true });
    const client = await call({ deadlineMs: 1_000 });
    const lone = failure(client.request('run', 'lone'));
    await until('it waits', async () => (await messages()) === 1);
    const more = ['a', 'b'].map((data) => failure(client.request('run', data)));
    await until('both messages wait', async () => (await messages()) === 2);
    for (const outcome of await Promise.all([lone, ...more])) expect(outcome).toBeInstanceOf(OutcomeUnknownError);
    await until('the broker has dropped them', async () => (await messages()) === 0);
    const ran: unknown[] = [];
    await serve({ run: (data) => ran.push(data), echo });
    expect(await client.request('echo', 1, { deadlineMs: 5000 })).toEqual({ echo: 1 });
    expect(ran).toEqual([]);
  });

  test('an answer address that leads nowhere hurts nobody else', async () => {
    await serve({ echo });
    for (const replyTo of ['nobody', 'amq.rabbitmq.reply-to.nonsense'])
      plain.channel.sendToQueue(queue, Buffer.from('{"pattern":"echo","data":1}'), { replyTo, correlationId: '1' });
    plain.send(queue, { pattern: 'echo', data: 2 }, { correlationId: '2' });
    await until('the answer', () => plain.replies.length === 1);
    expect(plain.bodies()).toEqual([{ response: { echo: 2 }, isDisposed: true }]);
  });

  test('an answer address that RabbitMQ 3.10 ends the connection over is answered once, and the server comes back', async () => {
    let runs = 0;
    const server = await serve({ echo, count: () => ++runs });
    const replyTo = 'amq.rabbitmq.reply-to.g1h2.x';
    plain.channel.sendToQueue(queue, Buffer.from('{"pattern":"count","data":1}'), { replyTo, correlationId: '1' });
    await until('it was run', () => runs === 1);
    await pause(500);
    await until('the server is ready', () => server.ready);
    // An answer that meets the dying connection is lost: asked again until one comes.
    await until('the answer', async () => {
      plain.send(queue, { pattern: 'echo', data: 2 }, { correlationId: '2' });
      await pause(100);
      return plain.replies.length > 0;
    });
    expect(runs).toBe(1);
  });

  test('patterns of another queue are not answered here', async () => {
    await serve({ echo, other: echo }, { patterns: ['echo'] });
    const client = await call();
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });
    expect(await failure(client.request('other', 1))).toMatchObject({ code: 'unknown_pattern' });
  });
});

describe('acks', () => {
  test('a message that lost its server while its handler ran is run again, and answered once to the caller', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    const first = gate();
    let runs = 0;
    const server = await serve(
      { work: async () => (++runs === 1 ? first.passed.then(() => 'first') : 'second') },
      { url: proxy.url },
    );
    const client = await call();
    const answer = client.request('work', {});
    await until('it runs', () => runs === 1);
    expect(await messages()).toBe(0);
    proxy.cut();
    await until('it runs again', () => runs === 2);
    expect(await answer).toBe('second');
    first.open();
    await until('the server is ready again', () => server.ready);
    expect(await client.request('work', {})).toBe('second');
    await server.close();
    expect(await messages()).toBe(0);
  });

  test('an answer waits for its channel to come back, and its message is not acked before', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    let runs = 0;
    const server = await serve({ work: () => `run ${++runs}` }, { url: proxy.url });
    const client = await call();
    proxy.refuse('(answers)');
    await until('the server noticed', () => !server.ready);
    const answer = client.request('work', {});
    await until('it was run', () => runs === 1);
    proxy.cut('test server');
    // Delivered again, because it was not acked.
    await until('it was run again', () => runs === 2);
    proxy.accept();
    expect(await answer).toBe('run 1');
    await until('the server is ready', () => server.ready);
    await server.close();
    expect(await messages()).toBe(0);
  });

  test('answers that have waited past the deadline of their callers are dropped and their messages acked', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    let runs = 0;
    const server = await serve({ work: () => ++runs }, { url: proxy.url, prefetchCount: 1 });
    const client = await call();
    proxy.refuse('(answers)');
    await until('the server noticed', () => !server.ready);
    const first = failure(client.request('work', {}, { deadlineMs: 1_000 }));
    await until('the first was run', () => runs === 1);
    const second = failure(client.request('work', {}, { deadlineMs: 4_000 }));
    expect(await first).toBeInstanceOf(OutcomeUnknownError);
    // With a prefetch of one, the second is taken because the first has been acked.
    await until('the second was run', () => runs === 2);
    expect(await second).toBeInstanceOf(OutcomeUnknownError);
    proxy.accept();
    await until('the server is ready', () => server.ready);
    expect(await client.request('work', {})).toBe(3);
  });

  test('no more messages are taken than the prefetch allows', async () => {
    const door = gate();
    let running = 0;
    await serve({ work: () => (running++, door.passed) }, { prefetchCount: 3 });
    for (let n = 0; n < 10; n++) plain.send(queue, { pattern: 'work', data: n }, { correlationId: `${n}` });
    await until('three run', () => running === 3);
    await pause(100);
    expect([running, await messages()]).toEqual([3, 7]);
    door.open();
    await until('all are answered', () => plain.replies.length === 10);
  });
});

describe('closing', () => {
  test('a server stops taking, finishes, answers, acks and leaves', async () => {
    const doors = [gate(), gate()];
    const taken: number[] = [];
    const work = (n: number) => (taken.push(n), doors[n]?.passed.then(() => n));
    const server = await serve({ work: work as Handler }, { prefetchCount: 2 });
    for (let n = 0; n < 4; n++) plain.send(queue, { pattern: 'work', data: n }, { correlationId: `${n}` });
    await until('two run', () => taken.length === 2);
    const closed = server.close();
    await pause(100);
    expect(server.ready).toBe(false);
    doors[0]?.open();
    await until('the first is answered', () => plain.replies.length === 1);
    await pause(100);
    // Its place is free, and nothing takes it.
    expect(taken).toEqual([0, 1]);
    doors[1]?.open();
    await closed;
    await until('the second is answered', () => plain.replies.length === 2);
    expect(await messages()).toBe(2);
    expect(taken).toEqual([0, 1]);
  });

  test('a client refuses new requests, waits for its answers and leaves', async () => {
    const door = gate();
    await serve({ work: () => door.passed.then(() => 'done') });
    const client = await call();
    const answer = client.request('work', {});
    await pause(50);
    const closed = client.close();
    expect(await failure(client.request('work', {}))).toBeInstanceOf(NotTakenError);
    door.open();
    await closed;
    expect(await answer).toBe('done');
    expect(client.ready).toBe(false);
  });

  test('both leave in time though the broker is away', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    const server = await serve({ echo }, { url: proxy.url });
    const client = await call({ url: proxy.url });
    proxy.refuse();
    const start = performance.now();
    await Promise.all([server.close(), client.close()]);
    expect(performance.now() - start).toBeLessThan(3000);
  });
});

describe('outcomes', () => {
  test('of requests that were delivered before are unknown, though nothing is done the second time', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    let delivered = 0;
    const door = gate();
    const stall = () => {
      delivered += 1;
      return door.passed;
    };
    await serve({ fails: stall, comesLate: stall }, { url: proxy.url });
    const client = await call({ deadlineMs: 30_000 });
    const outcome = failure(client.request('fails', 1));
    const headers = { 'x-deadline-ms': 4_000, [SENT_AT]: Date.now() - 8_000 };
    plain.send(queue, { pattern: 'comesLate', data: 1 }, { correlationId: 'x', headers });
    await until('both are under way', () => delivered === 2);
    const clock = new MeasuredClock();
    clock.learn(performance.now(), performance.now(), Date.now());
    await serve(
      { fails: () => Promise.reject(new UnavailableError('The database is away')), comesLate: echo },
      { clock },
    );
    proxy.refuse();
    expect(await outcome).toBeInstanceOf(OutcomeUnknownError);
    await until('both are answered', () => plain.replies.length === 1);
    expect(plain.bodies()).toMatchObject([{ err: { code: 'outcome_unknown' } }]);
    proxy.accept();
    door.open();
  });

  test('a queue that has lost its consumers refuses soon, and takes requests again when one is back', async () => {
    const server = await serve({ echo });
    const client = await call({ deadlineMs: 30_000 });
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });
    await server.close();
    await until('it is known', () => client.desertedReason !== undefined, 30_000);
    expect(await failure(client.request('echo', 2))).toBeInstanceOf(NotTakenError);
    expect(await messages()).toBe(0);
    await serve({ echo });
    await until('it is known', () => client.desertedReason === undefined, 30_000);
    expect(await client.request('echo', 3)).toEqual({ echo: 3 });
  });

  test('a queue that does not exist was not taken, alone and in a batch', async () => {
    const client = await call();
    expect(await failure(client.request('echo', 1))).toBeInstanceOf(NotTakenError);
    const all = await Promise.all([1, 2, 3].map((n) => failure(client.request('echo', n))));
    for (const error of all) expect(error).toBeInstanceOf(NotTakenError);
    expect(await failure(firstValueFrom(client.emit('happened', 1)))).toBeInstanceOf(NotTakenError);
    expect(client.ready).toBe(true);
  });

  test('a lost connection leaves what was handed over unknown, at once, and recovers by itself', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    const door = gate();
    await serve({ echo, hang: () => door.passed });
    const client = await call({ url: proxy.url });
    const statuses: string[] = [];
    client.status.subscribe((status) => statuses.push(status));
    const inFlight = [failure(client.request('hang', 1)), failure(client.request('hang', 2))];
    await pause(100);
    const start = performance.now();
    proxy.refuse();
    for (const error of await Promise.all(inFlight)) expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(performance.now() - start).toBeLessThan(3_000);

    const refused = performance.now();
    const error = await failure(client.request('echo', 1));
    expect(error).toBeInstanceOf(NotTakenError);
    expect((error as NotTakenError).retryAfterMs).toBeGreaterThan(0);
    expect(performance.now() - refused).toBeLessThan(1_000);
    expect(client.notReadyReason).toMatch(/RabbitMQ/);

    proxy.accept();
    await until('the client is ready again', () => client.ready);
    expect(await client.request('echo', 2)).toEqual({ echo: 2 });
    expect(statuses).toEqual(['connected', 'disconnected', 'connected']);
  });

  test('what was gathered but not handed over when the connection goes was not taken', async () => {
    const ran: unknown[] = [];
    await serve({ run: (data) => ran.push(data) });
    const client = await call();
    const outcomes = [failure(client.request('run', 1)), failure(firstValueFrom(client.send('run', 2)))];
    // In the same turn: amqplib refuses every write from here on.
    const closed = client.unwrap<AmqpConnectionManager>().connection?.close();
    for (const error of await Promise.all(outcomes)) expect(error).toBeInstanceOf(NotTakenError);
    await closed;
    await until('the client is ready again', () => client.ready);
    expect(await client.request('run', 3)).toBe(1);
    expect(ran).toEqual([3]);
  });

  test('without an answer in time nobody knows, and a late answer is ignored', async () => {
    const door = gate();
    await serve({ work: () => door.passed.then(() => 'late'), echo });
    const client = await call();
    const start = performance.now();
    expect(await failure(client.request('work', 1, { deadlineMs: 100 }))).toBeInstanceOf(OutcomeUnknownError);
    expect(performance.now() - start).toBeLessThan(3_000);
    door.open();
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });
  });

  test('a deadline in the past, or data that is no JSON, never leaves', async () => {
    await plain.channel.assertQueue(queue, { durable: true });
    const client = await call();
    expect(await failure(client.request('echo', 1, { deadlineMs: 0 }))).toBeInstanceOf(NotTakenError);
    expect(await failure(client.request('echo', { n: 1n }))).toBeInstanceOf(TypeError);
    expect(await failure(client.request('echo', undefined))).toBeInstanceOf(TypeError);
    expect(await failure(client.request('echo', 'x'.repeat(2_000_000)))).toMatchObject({ code: 'invalid_message' });
    await pause(50);
    expect(await messages()).toBe(0);
  });

  test('a malformed answer fails its own request only', async () => {
    await plain.channel.assertQueue(queue, { durable: true });
    await plain.channel.consume(queue, (message) => {
      if (message === null) return;
      const { replyTo, correlationId, contentType } = message.properties as unknown as Record<string, string>;
      plain.channel.ack(message);
      if (contentType !== BATCH_CONTENT_TYPE)
        return void plain.channel.sendToQueue(replyTo as string, Buffer.from('{oops'), { correlationId });
      const { items } = JSON.parse(message.content.toString()) as { items: { id: string }[] };
      const answers = [
        { id: items[0]?.id },
        'oops',
        { id: 'stranger', response: 1 },
        { id: items[1]?.id, response: 'fine' },
      ];
      plain.channel.sendToQueue(replyTo as string, Buffer.from(JSON.stringify({ items: answers })), { contentType });
    });
    const client = await call();
    expect(await failure(client.request('a', 1))).toBeInstanceOf(OutcomeUnknownError);
    const [bad, good] = await Promise.allSettled([client.request('b', 1), client.request('c', 1)]);
    expect(bad).toMatchObject({ status: 'rejected', reason: { name: 'OutcomeUnknownError' } });
    expect(good).toEqual({ status: 'fulfilled', value: 'fine' });
  });

  test('when the broker cancels the consumer of replies, it is set up again', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    const door = gate();
    await serve({ echo, hang: () => door.passed });
    const client = await call({ url: proxy.url });
    const inFlight = failure(client.request('hang', 1));
    await pause(100);
    const tag = /amq\.ctag-[\w-]+/.exec(proxy.received().toString('latin1'))?.[0] ?? 'none';
    // Which channel consumes replies is the client's business, and a cancel on another would end the connection.
    const consumeOk = proxy.received().indexOf(methodFrame(0, 60, 21, shortString(tag)).subarray(3));
    const channel = proxy.received().readUInt16BE(consumeOk - 2);
    proxy.inject(methodFrame(channel, 60, 30, Buffer.concat([shortString(tag), Buffer.from([1])])));
    expect(await inFlight).toBeInstanceOf(OutcomeUnknownError);
    await until('the client is ready again', () => client.ready);
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });
  });

  test('a broker that blocks publishers is not written to', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    await serve({ echo });
    const client = await call({ url: proxy.url });
    proxy.inject(methodFrame(0, 10, 60, shortString('low on memory')));
    await until('the client knows', () => !client.ready);
    expect(await failure(client.request('echo', 1))).toBeInstanceOf(NotTakenError);
    expect(client.notReadyReason).toMatch(/memory/);
    proxy.inject(methodFrame(0, 10, 61, Buffer.alloc(0)));
    await until('the client knows', () => client.ready);
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });
  });

  test('past the limit of requests in flight the next is refused at once, and memory stays bounded', async () => {
    const door = gate();
    await serve({ work: () => door.passed.then(() => 'done'), echo });
    const client = await call({ inFlightMax: 5 });
    const inFlight = Array.from({ length: 5 }, () => client.request('work', {}));
    expect(await failure(client.request('echo', 1))).toBeInstanceOf(NotTakenError);
    door.open();
    await Promise.all(inFlight);
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });

    const wide = await call({ inFlightMax: 100_000, deadlineMs: 45_000 });
    const large = 'x'.repeat(900_000);
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => wide.request('echo', large)));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThanOrEqual(200 - 75);
    for (const outcome of refused) expect(outcome.reason).toBeInstanceOf(NotTakenError);
    expect(await wide.request('echo', 1)).toEqual({ echo: 1 });
  });

  test('an unsubscribed Observable is forgotten', async () => {
    await serve({ echo });
    const client = await call({ inFlightMax: 1 });
    const subscription = client.send('echo', 1).subscribe();
    await pause(0);
    subscription.unsubscribe();
    expect(await client.request('echo', 2)).toEqual({ echo: 2 });
  });
});

describe('a broker that is away or different', () => {
  test('server and client start without it, say so, and begin when it is there', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    proxy.refuse();
    const server = new RabbitMqServer({ url: proxy.url, queue, name: 'early', prefetchCount: 4 });
    server.addHandler('echo', (async (data: unknown) => ({ echo: data })) as never);
    closing.push(() => server.close());
    const errors: unknown[] = [];
    await server.listen((error) => errors.push(error));
    expect(errors).toEqual([undefined]);
    const client = await call({ url: proxy.url });
    expect([server.ready, client.ready]).toEqual([false, false]);
    expect(await failure(firstValueFrom(client.send('echo', 1)))).toBeInstanceOf(NotTakenError);
    proxy.accept();
    await until('both are ready', () => server.ready && client.ready);
    expect(await firstValueFrom(client.send('echo', 1))).toEqual({ echo: 1 });
  });

  test('a queue that was deleted is declared and consumed again', async () => {
    const server = await serve({ echo });
    const client = await call();
    await plain.channel.deleteQueue(queue);
    await until('the server noticed', () => !server.ready);
    await until('the server is ready again', () => server.ready);
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });
  });

  test('a queue that cannot be declared is named, and tried again', async () => {
    await plain.channel.assertQueue(queue, { durable: true, maxLength: 7 });
    const server = new RabbitMqServer({ url: RABBITMQ_URL, queue, name: 'refused', prefetchCount: 4 });
    closing.push(() => server.close());
    await server.listen(() => undefined);
    await until('the reason is known', () => /PRECONDITION/.test(server.notReadyReason ?? ''));
    await plain.channel.deleteQueue(queue);
    await until('the server is ready', () => server.ready);
  });

  test('a channel that the broker closes is opened again on the same connection', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    await serve({ echo });
    const client = await call({ url: proxy.url });
    const close = Buffer.concat([Buffer.from([1, 0x94]), shortString('NOT_FOUND'), Buffer.alloc(4)]);
    for (const channel of [1, 2]) proxy.inject(methodFrame(channel, 20, 40, close));
    await until('the client noticed', () => !client.ready);
    // The broker still has the old channels open and ends the connection over it; the client comes back all the same.
    await until('the client is ready again', () => client.ready);
    expect(await client.request('echo', 1)).toEqual({ echo: 1 });
  });
});
