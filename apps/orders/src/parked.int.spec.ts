import { hash, randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import { ParkedMessages, type MessageToPark } from '@tandem/transports/rabbitmq/parked-messages';
import { BATCH_CONTENT_TYPE } from '@tandem/transports/rabbitmq/wire';
import { connect, type Channel, type ChannelModel, type GetMessage } from 'amqplib';
import type { Pool } from 'pg';
import { readConfig } from './config.ts';

const { POSTGRES_URL, RABBITMQ_URL } = readConfig();
const queue = `orders-test-${randomUUID()}.commands`;
let database: TemporaryDatabase;
let pool: Pool;
let parked: ParkedMessages;
let connection: ChannelModel;
let channel: Channel;

const poolOptions = {
  name: 'test',
  connectionsMax: 4,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 10_000,
  lockTimeoutMs: 10_000,
  idleInTransactionTimeoutMs: 3_000,
  onIdleError: () => undefined,
};

beforeAll(async () => {
  database = await temporaryDatabase(POSTGRES_URL, fileURLToPath(new URL('../migrations', import.meta.url)));
  pool = createPool({ ...poolOptions, url: database.url });
  parked = new ParkedMessages({ pool, service: 'orders', table: 'parked', url: RABBITMQ_URL });
  connection = await connect(RABBITMQ_URL);
  channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true });
});
beforeEach(async () => {
  await pool.query('truncate parked, parked_acts restart identity');
  await channel.purgeQueue(queue);
});
afterAll(async () => {
  await channel?.deleteQueue(queue);
  await connection?.close();
  await pool?.end();
  await database?.drop();
});

const park = (content: string | Buffer, more: Partial<MessageToPark> = {}) =>
  parked.park({
    queue,
    reason: 'not JSON in UTF-8',
    content: Buffer.from(content),
    properties: { headers: { tenant: 'a\u0000b' }, replyTo: 'amq.gone', expiration: '5000' } as never,
    ...more,
  });
/** Headers in headers in headers, deeper than PostgreSQL reads JSON. */
function nested(depth = 8_000): object {
  let headers = {};
  for (let level = 0; level < depth; level += 1) headers = { a: headers };
  return headers;
}
const listed = async () => (await parked.list({ filter: {}, limit: 100 })).parked;
const by = 'somebody';
const REQUEST = JSON.stringify({ pattern: 'order.place', data: { customerId: 'c-1' }, id: 'x' });
const take = () => channel.get(queue, { noAck: true }) as Promise<GetMessage | false>;

describe('a parked message', () => {
  it('is shown with what it holds, why it is there and what was done with it', async () => {
    await park('{"pattern":', {
      attempts: 5,
      firstFailedAt: new Date(0).toISOString(),
      orderId: 'o-1',
      type: 'order.place',
    });
    expect(await parked.redrive({ ids: ['orders-1'], by, reason: 'worth a try' })).toEqual([
      { id: 'orders-1', outcome: 'refused', detail: 'it still cannot be read: not JSON in UTF-8' },
    ]);
    expect(await parked.show('orders-1')).toEqual({
      id: 'orders-1',
      service: 'orders',
      broker: 'rabbitmq',
      source: queue,
      orderId: 'o-1',
      type: 'order.place',
      reason: 'not JSON in UTF-8',
      attempts: 5,
      firstFailedAt: '1970-01-01T00:00:00.000Z',
      parkedAt: expect.any(String),
      state: 'parked',
      headers: { headers: { tenant: 'a\u0000b' }, replyTo: 'amq.gone', expiration: '5000' },
      content: { bytes: 11, encoding: 'utf-8', text: '{"pattern":' },
      acts: [
        {
          act: 'redrive',
          outcome: 'refused',
          by,
          reason: 'worth a try',
          detail: 'it still cannot be read: not JSON in UTF-8',
          at: expect.any(String),
        },
      ],
    });
    expect(await parked.show('orders-2')).toBeNull();
    expect(await parked.show('analytics-1')).toBeNull();
  });

  it('of bytes is shown in base64, and a long one in part', async () => {
    await park(Buffer.from([0xff, 0]));
    await park('a'.repeat(20_000));
    expect((await parked.show('orders-1'))?.content).toEqual({ bytes: 2, encoding: 'base64', text: '/wA=' });
    const long = (await parked.show('orders-2'))?.content;
    expect([long?.bytes, long?.text.length]).toEqual([20_000, 16_384]);
  });

  it('goes back to its queue as an event, for nobody waits for an answer any more, and is listed no more', async () => {
    await park(REQUEST);
    expect(await parked.redrive({ ids: ['orders-1', 'orders-7'], by })).toEqual([
      { id: 'orders-1', outcome: 'done' },
      { id: 'orders-7', outcome: 'not_found' },
    ]);
    const message = await take();
    if (message === false) throw new Error('The queue is empty.');
    expect([message.content.toString(), message.properties.replyTo, message.properties.expiration]).toEqual([
      REQUEST,
      undefined,
      undefined,
    ]);
    expect(await parked.waiting()).toBe(0);
    expect(await parked.show('orders-1')).toMatchObject({
      state: 'redriven',
      acts: [{ act: 'redrive', outcome: 'done' }],
    });
    expect(await parked.redrive({ ids: ['orders-1'], by })).toEqual([
      { id: 'orders-1', outcome: 'settled', state: 'redriven' },
    ]);
    expect(await take()).toBe(false);
  });

  it('that was one item of a batch goes back as a message of its own', async () => {
    await park(REQUEST, { properties: { contentType: BATCH_CONTENT_TYPE, headers: {} } as never });
    await parked.redrive({ ids: ['orders-1'], by });
    expect(await take()).toMatchObject({ properties: { contentType: 'application/json' } });
  });

  it('stays where it is when its queue is gone', async () => {
    await park(REQUEST, { queue: `${queue}.gone` });
    expect(await parked.redrive({ ids: ['orders-1'], by })).toMatchObject([
      { outcome: 'refused', detail: expect.stringContaining('.gone') },
    ]);
    expect(await parked.waiting()).toBe(1);
  });

  it('is dropped once, with the reason, also by several at the same time', async () => {
    await park('rubbish');
    const drop = { id: 'orders-1', by, reason: 'a test of somebody' };
    const outcomes = await Promise.all([parked.drop(drop), parked.drop(drop), parked.drop(drop)]);
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['done', 'settled', 'settled']);
    expect((await parked.show('orders-1'))?.acts).toMatchObject([{ act: 'drop', reason: 'a test of somebody', by }]);
    expect(await parked.drop({ ...drop, id: 'orders-9' })).toEqual({ id: 'orders-9', outcome: 'not_found' });
  });
});

it('shows the last of many acts: how a message ended is among them', async () => {
  await park('rubbish');
  await pool.query(
    `insert into parked_acts (parked_id, act, outcome, subject) select 1, 'redrive', 'refused', 'a script' from generate_series(1, 150)`,
  );
  await parked.drop({ id: 'orders-1', by, reason: 'rubbish' });
  const { acts = [] } = (await parked.show('orders-1')) ?? {};
  expect([acts.length, acts.at(-2)?.act, acts.at(-1)?.act]).toEqual([100, 'redrive', 'drop']);
});

describe('the list', () => {
  it('shows what waits, newest first, page by page, and what was settled when asked', async () => {
    for (let n = 0; n < 5; n += 1) await park(`rubbish ${n}`, n === 4 ? { queue: 'elsewhere' } : {});
    await parked.drop({ id: 'orders-2', by, reason: 'why not' });
    const ids = async (query: Parameters<ParkedMessages['list']>[0]) => {
      const { parked: page, more } = await parked.list(query);
      return [page.map(({ id }) => id), more];
    };
    expect(await ids({ filter: {}, limit: 2 })).toEqual([['orders-5', 'orders-4'], true]);
    expect(await ids({ filter: {}, limit: 2, before: 'orders-4' })).toEqual([['orders-3', 'orders-1'], false]);
    expect(await ids({ filter: { source: 'elsewhere' }, limit: 2 })).toEqual([['orders-5'], false]);
    expect(await ids({ filter: { state: 'dropped' }, limit: 2 })).toEqual([['orders-2'], false]);
  });

  it('of 16 messages of 12 MiB reads none of their contents, and showing one reads no more than is shown', async () => {
    for (let n = 0; n < 16; n += 1)
      await pool.query(
        `insert into parked (queue, reason, content, properties)
         values ('q', 'large', convert_to(repeat('a', 12 * 1048576), 'UTF8'), '{}')`,
      );
    const reader = createPool({ ...poolOptions, url: database.url, connectionsMax: 1 });
    try {
      const bytesRead = async () => {
        const client = await reader.connect();
        client.release();
        return (client as unknown as { connection: { stream: Socket } }).connection.stream.bytesRead;
      };
      const messages = new ParkedMessages({ pool: reader, service: 'orders', table: 'parked', url: RABBITMQ_URL });
      expect((await messages.list({ filter: {}, limit: 20 })).parked).toHaveLength(16);
      expect(await bytesRead()).toBeLessThan(16_384);
      expect((await messages.show('orders-1'))?.content).toMatchObject({ bytes: 12 * 1_048_576 });
      expect(await bytesRead()).toBeLessThan(65_536);
    } finally {
      await reader.end();
    }
  });
});

describe('a message that cannot be stored as it came', () => {
  it('is parked with its attempts clamped, and without a time, a trace, an order or a type that make no sense', async () => {
    await park('rubbish', {
      reason: `\u0000${'\u{1F600}'.repeat(300)}`,
      attempts: 3_000_000_000,
      firstFailedAt: 'yesterday',
      traceparent: '00-\u0000',
      orderId: 'o-\u0000',
      type: `eat\u0000${'x'.repeat(1_000_000)}`,
    });
    await park('rubbish', {
      attempts: 0.5,
      firstFailedAt: '+012345-01-01T00:00:00.000Z',
      traceparent: 'x'.repeat(70_000),
    });
    const [second, first] = await listed();
    expect(first).toMatchObject({ attempts: 2_147_483_647, orderId: 'o-\uFFFD', type: `eat\uFFFD${'x'.repeat(196)}` });
    expect(first?.reason).toBe(`\uFFFD${'\u{1F600}'.repeat(249)}`);
    for (const one of [first, second])
      for (const left of ['firstFailedAt', 'traceparent']) expect(one).not.toHaveProperty(left);
    expect(second).not.toHaveProperty('attempts');
  });

  it('keeps the first 4 MiB of 120, the length and the hash of all of it, and can be dropped, not redriven', async () => {
    const content = Buffer.alloc(120 * 1_048_576, 'a');
    await park(content);
    expect((await parked.show('orders-1'))?.content).toEqual({
      bytes: content.length,
      encoding: 'utf-8',
      text: 'a'.repeat(16_384),
      keptBytes: 4 * 1_048_576,
      sha256: hash('sha256', content),
    });
    expect(await parked.redrive({ ids: ['orders-1'], by })).toEqual([
      { id: 'orders-1', outcome: 'refused', detail: 'only the first 4194304 of its 125829120 bytes were kept' },
    ]);
    expect(await parked.drop({ id: 'orders-1', by, reason: 'too large' })).toMatchObject({ outcome: 'done' });
  });

  it('keeps its content though its headers cannot be written down', async () => {
    await park(REQUEST, { properties: { headers: nested() } as never });
    const id = (await listed())[0]?.id ?? '';
    expect(await parked.show(id)).toMatchObject({
      reason: expect.stringContaining('not JSON in UTF-8; its headers were not kept: '),
      headers: {},
      content: { text: REQUEST },
    });
    expect(await parked.redrive({ ids: [id], by })).toMatchObject([{ outcome: 'done' }]);
  });

  it('is a bare row if the database refuses everything else', async () => {
    await pool.query('alter table parked add constraint no_content check (octet_length(content) = 0)');
    try {
      await park(REQUEST);
    } finally {
      await pool.query('alter table parked drop constraint no_content');
    }
    const id = (await listed())[0]?.id ?? '';
    expect(await parked.show(id)).toMatchObject({
      source: queue,
      reason: expect.stringContaining('not JSON in UTF-8; nothing of it was kept: '),
      content: { bytes: REQUEST.length, text: '', keptBytes: 0, sha256: hash('sha256', REQUEST) },
    });
    expect(await parked.redrive({ ids: [id], by })).toMatchObject([{ outcome: 'refused' }]);
  });

  it('is not written down as less than it is while the database is away', async () => {
    await pool.query('alter table parked rename to parked_elsewhere');
    try {
      await expect(park(REQUEST)).rejects.toThrow('parked');
    } finally {
      await pool.query('alter table parked_elsewhere rename to parked');
    }
    expect(await listed()).toEqual([]);
  });
});
