import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { EventHeaders, LogCheckpoint } from '@tandem/contracts/event-record';
import { topology } from '@tandem/contracts/topology';
import { databaseUrl, dropDatabase } from '@tandem/postgres/database';
import { createPool } from '@tandem/postgres/pool';
import { createHostileDatabase } from '@tandem/postgres/temporary-database';
import { readLog as readCommitted } from '@tandem/transports/kafka/read-log';
import { Kafka, logLevel, type KafkaMessage } from 'kafkajs';
import type { Pool } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { readConfig } from '../config.ts';
import { GroupCommit } from '../event-store/group-commit.ts';
import { cancelling, placing } from '../order/rulebook.testing.ts';
import { provision, recover } from '../provision.ts';
import { Relay } from './relay.ts';

const config = readConfig({ ...process.env, NAMESPACE: `relay-${randomUUID().slice(0, 8)}`, LOG_LEVEL: 'silent' });
const names = topology(config.NAMESPACE);
const url = databaseUrl(config.POSTGRES_URL, names.databases.orders);
const kafka = new Kafka({ brokers: config.KAFKA_BROKERS, logLevel: logLevel.NOTHING });
const admin = kafka.admin();
let pool: Pool;
const relays: Relay[] = [];

function startRelay(eventsMax = 2_000, lookMs = 60_000): Relay {
  const leadership = { url, idleTimeoutMs: 2_000, heartbeatMs: 500, retryMs: 50, statementTimeoutMs: 5_000 };
  const sizes = { eventsMax, bytesMax: 1024 * 1024, partitionBytesMax: 512 * 1024 };
  const limits = { ...sizes, batchMsMin: 5, batchMsMax: 20, pollMsMin: 5, pollMsMax: 20, lookMs };
  const relay = new Relay({ kafka, topology: names, leadership, ...limits, onFailure: () => undefined });
  relays.push(relay);
  relay.start();
  return relay;
}

/** Places `count` orders, and cancels every third. */
async function appendOrders(count: number): Promise<void> {
  const commits = new GroupCommit({
    pool,
    commandsMax: 500,
    unavailableAfterMs: 500,
    retryPauseMs: 20,
    onAppended: () => undefined,
  });
  const execute = (order: ReturnType<typeof placing> | ReturnType<typeof cancelling>) => {
    const id = randomUUID();
    return commits.execute({ id, payloadHash: id, order }, () => 5_000);
  };
  const ids = Array.from({ length: count }, () => uuidv7());
  await Promise.all(ids.map((orderId) => execute({ ...placing(), orderId })));
  await Promise.all(ids.filter((_, index) => index % 3 === 0).map((orderId) => execute({ ...cancelling(), orderId })));
}

async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const late = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > late) throw new Error(`Waited ${timeoutMs} ms in vain until ${what}.`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

const newest = async () =>
  (await pool.query<{ p: bigint }>('select coalesce(max(position), 0) as p from events')).rows[0]?.p ?? 0n;
const published = async (relay: Relay) =>
  until('everything is published', async () => relay.state.position === (await newest()));

/** The topic of events is begun anew, as after the loss of a broker's disk. */
async function loseLog(): Promise<void> {
  await admin.deleteTopics({ topics: [names.topics.orderEvents] });
  await until('the topic is gone', async () => !(await admin.listTopics()).includes(names.topics.orderEvents));
  await provision(config);
}

/**
 * Begins the log anew with what `keep` leaves of each partition: the log after a broker has lost what it had not written to
 * its disk, and after whatever else happened to it.
 */
async function rewriteLog(keep: (messages: KafkaMessage[], partition: number) => KafkaMessage[]): Promise<void> {
  const partitions = new Map<number, KafkaMessage[]>();
  for (const { partition, message } of await readLog(names.topics.orderEvents))
    partitions.set(partition, [...(partitions.get(partition) ?? []), message]);
  await loseLog();
  const producer = kafka.producer();
  await producer.connect();
  const kept = [...partitions].flatMap(([partition, messages]) =>
    keep(messages, partition).map(({ key, value, headers = {} }) => ({ partition, key, value, headers })),
  );
  await producer.send({ topic: names.topics.orderEvents, messages: kept });
  await producer.disconnect();
}

/** A reader that searches a partition for what follows its mark, as analytics does at a gap, must find every event. */
async function expectWholeChains(): Promise<void> {
  const following = new Map<string, bigint>();
  for (const { partition, message } of await readLog(names.topics.orderEvents)) {
    const [position, prev] = ['position', 'prev'].map((name) => BigInt(String(message.headers?.[name])));
    following.set(`${partition} ${prev}`, position as bigint);
  }
  const found = new Set<bigint>();
  for (const partition of Array.from({ length: 6 }, (_, number) => number))
    for (let mark = following.get(`${partition} 0`); mark !== undefined; mark = following.get(`${partition} ${mark}`))
      found.add(mark);
  const { rows } = await pool.query<{ position: bigint }>('select position from events order by position');
  expect([...found].sort((a, b) => Number(a - b))).toEqual(rows.map(({ position }) => position));
}

/** Nothing while the broker still looks for the leaders of its new partitions. */
const readNewLog = () => readLog(names.topics.orderEvents).catch((): LogRecord[] => []);

/** The positions of all committed records, in which no transaction is open. */
async function committedPositions(): Promise<string[]> {
  const positions: string[] = [];
  const ends = await admin.fetchTopicOffsets(names.topics.orderEvents);
  await readCommitted({
    kafka,
    topic: names.topics.orderEvents,
    from: new Map(ends.map(({ partition, low }) => [partition, BigInt(low)])),
    to: new Map(ends.map(({ partition, high }) => [partition, BigInt(high)])),
    signal: AbortSignal.timeout(20_000),
    onBatch: async ({ records }) => void positions.push(...records.map(({ headers }) => headers['position'] ?? '')),
  });
  return positions;
}

interface LogRecord {
  partition: number;
  message: KafkaMessage;
}

/** Everything that a topic holds now, each partition in its order. */
async function readLog(topic: string): Promise<LogRecord[]> {
  const ends = await admin.fetchTopicOffsets(topic);
  const total = ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  const consumer = kafka.consumer({ groupId: `${topic}.reader-${randomUUID()}`, maxWaitTimeInMs: 50 });
  const records: LogRecord[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ partition, message }) => void records.push({ partition, message }) });
  try {
    await until(`${total} records of ${topic} are read`, () => records.length >= total);
  } finally {
    await consumer.disconnect();
  }
  return records;
}

/** What a reader keeps that drops repeats by position: it must meet an unbroken chain and every event of the table. */
async function expectWholeLog(): Promise<void> {
  const marks = new Map<number, bigint>();
  const seen: { position: string; order_id: string; version: number; type: string; data: unknown }[] = [];
  for (const { partition, message } of await readLog(names.topics.orderEvents)) {
    const headers = EventHeaders.parse(
      Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)])),
    );
    const mark = marks.get(partition) ?? 0n;
    if (headers.position <= mark) continue;
    expect(headers.prev).toBe(mark);
    marks.set(partition, headers.position);
    expect(message.key?.toString()).toBe(headers.ce_subject);
    const data = JSON.parse(String(message.value));
    seen.push({
      position: headers.position.toString(),
      order_id: headers.ce_subject,
      version: headers.version,
      type: headers.ce_type,
      data,
    });
  }
  const { rows } = await pool.query(
    'select position::text, order_id, version, type, data from events order by events.position',
  );
  seen.sort((a, b) => Number(a.position) - Number(b.position));
  expect(seen).toEqual(rows);
}

beforeAll(async () => {
  await admin.connect();
});

beforeEach(async () => {
  await createHostileDatabase(config.POSTGRES_URL, names.databases.orders);
  await provision(config);
  const limits = { statementTimeoutMs: 3_000, lockTimeoutMs: 3_000, idleInTransactionTimeoutMs: 3_000 };
  pool = createPool({
    url,
    name: 'test',
    connectionsMax: 4,
    connectTimeoutMs: 1_000,
    onIdleError: () => undefined,
    ...limits,
  });
});

afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()));
  await pool.end();
  await dropDatabase(config.POSTGRES_URL, names.databases.orders);
  await admin.deleteTopics({ topics: [names.topics.orderEvents, names.topics.orderCheckpoints] });
  await until('the topics are gone', async () => !(await admin.listTopics()).includes(names.topics.orderEvents));
});

afterAll(() => admin.disconnect());

describe('the relay', () => {
  it('publishes every event once, in order per partition, each with the position before it', async () => {
    const relay = startRelay();
    await appendOrders(300);
    await published(relay);
    await expectWholeLog();
    expect(await readLog(names.topics.orderEvents)).toHaveLength(400);
  });

  it('publishes events that are larger together than one read may be', async () => {
    await pool.query(
      `insert into events (order_id, version, type, data, at)
       select gen_random_uuid(), 1, 'order.placed.v1', json_build_object('filling', repeat('x', 200000)), now()
         from generate_series(1, 20)`,
    );
    const relay = startRelay();
    await published(relay);
    await expectWholeChains();
  });

  it('says in the log how far it has come, and in which offsets', async () => {
    const relay = startRelay(50);
    await appendOrders(120);
    await published(relay);
    const checkpoints = (await readLog(names.topics.orderCheckpoints)).map(({ message }) =>
      LogCheckpoint.parse(JSON.parse(String(message.value))),
    );
    const last = checkpoints.at(-1);
    expect(last?.position).toBe(Number(await newest()));
    const ends = await admin.fetchTopicOffsets(names.topics.orderEvents);
    const byPartition = new Map(ends.map(({ partition, high }) => [partition, high]));
    for (const { partition, endOffset } of last?.partitions ?? []) expect(endOffset).toBe(byPartition.get(partition));
  });

  it('says again how far the log has come when somebody else has said less since', async () => {
    const relay = startRelay(2_000, 100);
    await appendOrders(30);
    await published(relay);
    const producer = kafka.producer();
    await producer.connect();
    const older = { epoch: randomUUID(), position: 1, partitions: [] };
    const topic = names.topics.orderCheckpoints;
    await producer.send({ topic, messages: [{ partition: 0, key: 'older', value: JSON.stringify(older) }] });
    await producer.disconnect();
    const last = async () => JSON.parse(String((await readLog(topic)).at(-1)?.message.value));
    const goal = Number(await newest());
    await until('the last word is the newest', async () => (await last()).position === goal);
    const [end] = await admin.fetchTopicOffsets(topic);
    await new Promise((resume) => setTimeout(resume, 500));
    expect(await admin.fetchTopicOffsets(topic)).toEqual([end]);
  });

  it('has one leader among several instances, and another when it goes', async () => {
    const first = startRelay();
    await until('the first leads', () => first.state.role === 'leader');
    const second = startRelay();
    await appendOrders(30);
    await published(first);
    expect(second.state.role).toBe('standby');
    await first.stop();
    await appendOrders(30);
    await published(second);
    expect(second.state.role).toBe('leader');
    await expectWholeLog();
  });

  it('continues from the log when it died between sending and its checkpoint', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    await first.stop();
    const { rows } = await pool.query('select position, partitions from followers');
    await appendOrders(60);
    const second = startRelay();
    await published(second);
    await second.stop();
    // As if the second had been killed after its send: the log is ahead of the checkpoint.
    await pool.query('update followers set position = $1, partitions = $2', [
      rows[0].position,
      JSON.stringify(rows[0].partitions),
    ]);
    await appendOrders(30);
    await published(startRelay());
    await expectWholeLog();
    // 60 + 60 + 30 orders, every third cancelled: nothing was sent twice, because the log itself was asked.
    expect(await readLog(names.topics.orderEvents)).toHaveLength(200);
  });

  it('publishes everything again when the log was lost', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    await first.stop();
    await loseLog();
    const second = startRelay();
    await until(
      'the log is whole',
      async () => second.state.role === 'leader' && second.state.position === (await newest()),
    );
    await expectWholeLog();
    expect(await readLog(names.topics.orderEvents)).toHaveLength(80);
  });

  it('publishes everything again when the log is lost while it has nothing to send', async () => {
    const relay = startRelay(2_000, 100);
    await appendOrders(60);
    await published(relay);
    await loseLog();
    await until('the log is whole', async () => (await readNewLog()).length === 80);
    await expectWholeLog();
  });

  it('publishes everything again when a batch shows that the log was begun anew', async () => {
    const relay = startRelay();
    await appendOrders(60);
    await published(relay);
    await loseLog();
    await appendOrders(3);
    // The batch that showed it may lie in front of its partitions, and once more in its place.
    await until('the log is whole', async () => {
      const positions = (await readNewLog()).map(({ message }) => String(message.headers?.['position']));
      return new Set(positions).size === 84;
    });
    await published(relay);
    await expectWholeChains();
  });

  it('sends again what a log lost while its leader went on', async () => {
    const relay = startRelay();
    await appendOrders(60);
    await published(relay);
    await rewriteLog((messages) => messages.slice(0, -3));
    await appendOrders(60);
    await until('the log is whole', () =>
      expectWholeChains().then(
        () => true,
        () => false,
      ),
    );
  });

  it.each([
    ['shorter than it was', 1],
    ['as long as it was', 3],
    ['longer than it was', 5],
  ])('does not believe the last record of a log with a hole, %s', async (_what, newer) => {
    const first = startRelay();
    await appendOrders(90);
    await published(first);
    await first.stop();
    const { rows } = await pool.query('select position, partitions from followers');
    await appendOrders(90);
    const second = startRelay();
    await published(second);
    await second.stop();
    // As if three records of each partition had been lost, and the second had died right after a batch that came behind.
    const [{ position, partitions }] = rows;
    await pool.query('update followers set position = $1, partitions = $2', [position, JSON.stringify(partitions)]);
    await rewriteLog((messages, partition) => {
      const known = Number(partitions[partition].endOffset);
      return [...messages.slice(0, known - 3), ...messages.slice(known, known + newer)];
    });
    await expect(expectWholeChains()).rejects.toThrow();
    const third = startRelay();
    await until('it leads', () => third.state.role === 'leader');
    await published(third);
    await expectWholeChains();
  });

  it('takes over although a transaction of a stranger ended last', async () => {
    const first = startRelay();
    await appendOrders(30);
    await published(first);
    await first.stop();
    const retry = { initialRetryTime: 30 };
    const transactionalId = `${config.NAMESPACE}.${randomUUID()}`;
    const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, retry });
    await producer.connect();
    const transaction = await producer.transaction();
    const messages = Array.from({ length: 6 }, (_, partition) => ({ partition, value: 'not ours' }));
    await transaction.send({ topic: names.topics.orderEvents, messages });
    await transaction.commit();
    await producer.disconnect();
    const second = startRelay();
    await until('it leads', () => second.state.role === 'leader');
    expect(second.state.position).toBe(await newest());
    // What it publishes from here on continues the chains.
    await appendOrders(30);
    await published(second);
    expect(second.state.failure).toBeUndefined();
  });

  it('says how far it has come though the topic of checkpoints was lost', async () => {
    const first = startRelay();
    await appendOrders(30);
    await published(first);
    await first.stop();
    await admin.deleteTopics({ topics: [names.topics.orderCheckpoints] });
    await until('it is gone', async () => !(await admin.listTopics()).includes(names.topics.orderCheckpoints));
    await provision(config);
    const second = startRelay();
    await until('it leads', () => second.state.role === 'leader');
    const [record] = await readLog(names.topics.orderCheckpoints);
    expect(LogCheckpoint.parse(JSON.parse(String(record?.message.value))).position).toBe(Number(await newest()));
  });

  it('refuses a log that is ahead of the database though the database has gone on since', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    await first.stop();
    // As after a failover to a standby that had not received the last commits, and went on from there.
    await pool.query('delete from events where position > 70');
    await pool.query('delete from orders where id not in (select order_id from events)');
    await pool.query(`update followers set position = 10, partitions = '[]'`);
    await appendOrders(60);
    const second = startRelay();
    await until('it has refused', () => second.state.failure?.includes('npm run recover') === true);
    expect(await readLog(names.topics.orderEvents)).toHaveLength(80);
  });

  it('refuses a log that is ahead of the database, and names the way out', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    await first.stop();
    // As if the database had been restored from a backup that was taken before the last events.
    await pool.query('delete from events where position > 10');
    await pool.query(`update followers set position = 10, partitions = '[]'`);
    const second = startRelay();
    await until('it has refused', () => second.state.failure?.includes('npm run recover') === true);
    expect(await readLog(names.topics.orderEvents)).toHaveLength(80);
  });

  it('begins a new log, with a new epoch, when it is told to recover', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    await first.stop();
    await pool.query('delete from events where position > 10');
    await pool.query(`update followers set position = 10, partitions = '[]'`);
    const second = startRelay();
    await until('it has refused', () => second.state.failure?.includes('npm run recover') === true);
    const { rows: before } = await pool.query('select epoch from log');
    await recover(config);
    await appendOrders(3);
    await published(second);
    await expectWholeLog();
    expect(await readLog(names.topics.orderEvents)).toHaveLength(10 + 4);
    const { rows: after } = await pool.query('select epoch from log');
    expect(after[0].epoch).not.toBe(before[0].epoch);
  });

  it('begins a new log though a relay leads and has nothing to complain of', async () => {
    const relay = startRelay();
    await appendOrders(30);
    await published(relay);
    await recover(config);
    await appendOrders(30);
    await until('the log is whole', async () => relay.state.role === 'leader' && (await readNewLog()).length === 80);
    await expectWholeLog();
    const epochs = new Set((await readNewLog()).map(({ message }) => String(message.headers?.['epoch'])));
    const { rows } = await pool.query('select epoch from log');
    expect([...epochs]).toEqual([rows[0].epoch]);
  });

  it('takes a log for whole though a stranger has a transaction open in it, and publishes nothing twice', async () => {
    const first = startRelay(2_000, 50);
    await appendOrders(10);
    await published(first);
    const transactionalId = `${names.topics.orderEvents}.stranger`;
    const stranger = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
    await stranger.connect();
    const transaction = await stranger.transaction();
    const partitions = Array.from({ length: 6 }, (_, partition) => ({ partition, value: 'a stranger was here' }));
    await transaction.send({ topic: names.topics.orderEvents, messages: partitions });
    await appendOrders(30);
    await published(first);
    // It looks again and again whether the log holds what was confirmed.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(first.state).toMatchObject({ role: 'leader', failure: undefined });
    await first.stop();
    // Whoever takes over reads behind the open transaction.
    await pool.query(`update followers set position = 10, partitions = '[]'`);
    const second = startRelay();
    await appendOrders(3);
    await published(second);
    await transaction.abort();
    await stranger.disconnect();
    // The broker says that a transaction has ended before every partition has its marker, and until then that is the end.
    const all = Number(await newest());
    let positions: string[] = [];
    await until('everything can be read', async () => (positions = await committedPositions()).length >= all);
    expect(positions.length).toBe(all);
    expect(new Set(positions).size).toBe(all);
  });

  it('refuses a topic with another number of partitions', async () => {
    await admin.createPartitions({ topicPartitions: [{ topic: names.topics.orderEvents, count: 7 }] });
    await until('the broker knows', async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [names.topics.orderEvents] });
      return topics[0]?.partitions.length === 7;
    });
    const relay = startRelay();
    await until('it has refused', () => relay.state.failure?.includes('7 partitions') === true);
  });
});

describe('a log from whose beginning records are deleted', () => {
  /** What retention does to a log that was quiet for longer: nothing is left, and offsets go on where they were. */
  async function deleteRecords(until?: Record<number, string>): Promise<void> {
    const ends = await admin.fetchTopicOffsets(names.topics.orderEvents);
    const partitions = ends.map(({ partition, high }) => ({ partition, offset: until?.[partition] ?? high }));
    await admin.deleteTopicRecords({ topic: names.topics.orderEvents, partitions });
  }
  const events = async () =>
    (await readLog(names.topics.orderEvents))
      .map(({ message }) => Number(message.headers?.['position'] ?? 0))
      .sort((a, b) => a - b);
  const positionsAfter = async (position: bigint) =>
    (
      await pool.query<{ position: string }>('select position from events where position > $1 order by 1', [position])
    ).rows.map((row) => Number(row.position));
  const checkpoint = async () => (await pool.query('select position, partitions from followers')).rows[0];
  /** As if the relay had been killed after its last sends, which the log then holds. */
  const forgetCheckpoint = ({ position, partitions }: { position: bigint; partitions: object[] }) =>
    pool.query('update followers set position = $1, partitions = $2', [position, JSON.stringify(partitions)]);

  it('is not published again while it is quiet, by who leads or by who comes next, and is continued', async () => {
    const first = startRelay(2_000, 50);
    await appendOrders(60);
    await published(first);
    await deleteRecords();
    await new Promise((resume) => setTimeout(resume, 300));
    await first.stop();
    const before = await newest();
    const second = startRelay();
    await until('the second leads', () => second.state.role === 'leader');
    expect(await events()).toEqual([]);
    await appendOrders(30);
    await published(second);
    expect(await events()).toEqual(await positionsAfter(before));
  });

  it('is not published again though the relay died between sending and its checkpoint', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    await first.stop();
    const known = await checkpoint();
    await deleteRecords();
    const second = startRelay();
    await appendOrders(30);
    await published(second);
    await second.stop();
    await forgetCheckpoint(known);
    const third = startRelay();
    await until('the third leads', () => third.state.role === 'leader');
    await published(third);
    expect(await events()).toEqual(await positionsAfter(known.position));
  });

  it('is not published again though nothing is left but what strangers have written', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    const ends = await admin.fetchTopicOffsets(names.topics.orderEvents);
    const producer = kafka.producer();
    await producer.connect();
    const messages = ends.map(({ partition }) => ({ partition, value: 'not ours' }));
    await producer.send({ topic: names.topics.orderEvents, messages });
    await producer.disconnect();
    await deleteRecords(Object.fromEntries(ends.map(({ partition, high }) => [partition, high])));
    await first.stop();
    const before = await newest();
    const second = startRelay();
    await until('the second leads', () => second.state.role === 'leader');
    await appendOrders(6);
    await published(second);
    expect(await events()).toEqual([...Array.from({ length: 6 }, () => 0), ...(await positionsAfter(before))]);
  });

  it('gets again what nobody can say that it ever held', async () => {
    const first = startRelay();
    await appendOrders(60);
    await published(first);
    await first.stop();
    const known = await checkpoint();
    await appendOrders(60);
    const second = startRelay();
    await published(second);
    await second.stop();
    await forgetCheckpoint(known);
    // The last record of each partition is left: those between it and the checkpoint may never have been there.
    const ends = await admin.fetchTopicOffsets(names.topics.orderEvents);
    await deleteRecords(Object.fromEntries(ends.map(({ partition, high }) => [partition, String(Number(high) - 1)])));
    const third = startRelay();
    await until('the third leads', () => third.state.role === 'leader');
    await published(third);
    expect([...new Set(await events())]).toEqual(await positionsAfter(known.position));
  });
});
