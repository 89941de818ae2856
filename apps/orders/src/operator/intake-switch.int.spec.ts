import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Intake } from '@tandem/contracts/intake';
import { topology } from '@tandem/contracts/topology';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import { FanoutPublisher } from '@tandem/transports/rabbitmq/fanout';
import { RABBITMQ_URL, until } from '@tandem/transports/rabbitmq/rabbitmq.testing';
import { connect, type ChannelModel } from 'amqplib';
import type { Pool } from 'pg';
import { IntakeSwitch } from './intake-switch.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const { operator: exchange } = topology(`intake-${randomUUID().slice(0, 8)}`).exchanges;

let database: TemporaryDatabase;
let pool: Pool;
let publisher: FanoutPublisher;
let intake: IntakeSwitch;
let connection: ChannelModel;
/** What a consumer of our own has heard on the exchange. */
const heard: Intake[] = [];

beforeAll(async () => {
  database = await temporaryDatabase(POSTGRES_URL, fileURLToPath(new URL('../../migrations', import.meta.url)));
  const limits = { statementTimeoutMs: 5_000, lockTimeoutMs: 5_000, idleInTransactionTimeoutMs: 5_000 };
  const own = { name: 'test', connectionsMax: 4, connectTimeoutMs: 5_000, onIdleError: () => undefined };
  pool = createPool({ url: database.url, ...own, ...limits });
  const about = { exchange, name: 'test', confirmTimeoutMs: 5_000, onFailure: () => undefined };
  publisher = new FanoutPublisher({ url: RABBITMQ_URL, ...about });
  intake = new IntakeSwitch(pool, publisher);
  connection = await connect(RABBITMQ_URL);
  const channel = await connection.createChannel();
  await channel.assertExchange(exchange, 'fanout', { durable: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, exchange, '');
  const hear = (text: string) => heard.push(Intake.parse(JSON.parse(text)));
  await channel.consume(queue, (message) => message && hear(message.content.toString()), { noAck: true });
  await until(
    'the publisher is connected',
    () =>
      publisher.publish({ paused: false, revision: 0, since: new Date().toISOString() }).then(
        () => true,
        () => false,
      ),
    30_000,
  );
  await until('the first is heard', () => heard.length > 0, 30_000);
  heard.length = 0;
});

afterAll(async () => {
  await publisher.close();
  const channel = await connection.createChannel();
  await channel.deleteExchange(exchange);
  await connection.close();
  await pool.end();
  await database.drop();
});

const turn = (paused: boolean, reason?: string, commandId = randomUUID()) =>
  intake.set({ commandId, body: { paused, ...(reason === undefined ? {} : { reason }) } });

describe('the switch of the operator', () => {
  it('is open until somebody turns it', async () => {
    expect(await intake.get()).toMatchObject({ paused: false, revision: 0 });
  });

  it('is kept, and told on the exchange before the answer', async () => {
    const reply = await turn(true, 'The stock is counted');
    expect(reply).toMatchObject({ outcome: 'accepted', replayed: false, intake: { paused: true, revision: 1 } });
    expect(await intake.get()).toMatchObject({ paused: true, reason: 'The stock is counted', revision: 1 });
    await until('it is heard', () => heard.length === 1, 30_000);
    expect(heard).toEqual([await intake.get()]);
  });

  it('answers a repeat as the first, tells everybody the newest again, and turns nothing back', async () => {
    const commandId = randomUUID();
    const first = await turn(true, 'Once more', commandId);
    await turn(false);
    const { revision } = await intake.get();
    await until('the newest is heard', () => heard.at(-1)?.revision === revision, 30_000);
    const told = heard.length;
    expect(await turn(true, 'Once more', commandId)).toEqual({ ...first, replayed: true });
    expect(await intake.get()).toMatchObject({ paused: false });
    await until('the repeat is heard', () => heard.length === told + 1, 30_000);
    expect(heard.at(-1)).toMatchObject({ paused: false });
  });

  it('refuses the id of another command', async () => {
    const commandId = randomUUID();
    await turn(true, undefined, commandId);
    const refused = { outcome: 'rejected', rejection: { code: 'key_reused' } };
    expect(await turn(false, undefined, commandId)).toEqual(refused);
    expect(await turn(true, 'Because', commandId)).toEqual(refused);
  });

  it('gives every turn a revision of its own, though many turn it at once', async () => {
    const { revision: before } = await intake.get();
    const replies = await Promise.all(Array.from({ length: 20 }, (_, n) => turn(n % 2 === 0)));
    const revisions = replies.map((reply) => (reply.outcome === 'accepted' ? reply.intake.revision : 0));
    expect(revisions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => before + 1 + n));
  });
});
