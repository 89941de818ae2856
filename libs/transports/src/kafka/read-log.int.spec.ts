import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from '@jest/globals';
import { Kafka, logLevel, type Admin, type Producer } from 'kafkajs';
import { LogUnreadableError, readingClient, readLog, type ReadLogOptions } from './read-log.ts';

const brokers = (process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092').split(',');
const kafka = new Kafka({ brokers, clientId: 'read-log-test', logLevel: logLevel.NOTHING });
const PARTITIONS = 3;
const RECORDS = 3_000;

let admin: Admin;
let producer: Producer;
let topic: string;

beforeAll(async () => {
  admin = kafka.admin();
  await admin.connect();
});
afterAll(() => admin.disconnect());

beforeEach(async () => {
  topic = `read-log-test-${randomUUID().slice(0, 8)}`;
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: PARTITIONS }] });
  // One for each topic: a producer asks for all topics that it has ever written to, those that are gone too.
  producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  await write(RECORDS);
});
afterEach(async () => {
  await producer.disconnect();
  await admin.deleteTopics({ topics: [topic] });
});

async function write(records: number): Promise<void> {
  const messages = Array.from({ length: records }, (_, index) => ({
    partition: index % PARTITIONS,
    value: `${index}`,
  }));
  await producer.send({ topic, messages });
}

const everything = new Map(Array.from({ length: PARTITIONS }, (_, partition) => [partition, 0n]));
const ends = new Map([...everything.keys()].map((partition) => [partition, BigInt(RECORDS / PARTITIONS)]));

/** Reads, and returns what each partition gave. */
async function read(options: Partial<ReadLogOptions>): Promise<Map<number, bigint[]>> {
  const offsets = new Map<number, bigint[]>();
  await readLog({
    kafka,
    topic,
    from: everything,
    to: ends,
    signal: new AbortController().signal,
    // Several batches a partition.
    partitionBytesMax: 4_096,
    ...options,
    onBatch: async (batch) => {
      const read = batch.records.map(({ offset }) => offset);
      offsets.set(batch.partition, [...(offsets.get(batch.partition) ?? []), ...read]);
      await options.onBatch?.(batch);
    },
  });
  return offsets;
}

const range = (from: bigint, to: bigint) =>
  Array.from({ length: Number(to - from) }, (_, index) => from + BigInt(index));

describe('reading a log', () => {
  it('gives every record of every partition once and in order', async () => {
    const offsets = await read({});
    for (const [partition, end] of ends) expect(offsets.get(partition)).toEqual(range(0n, end));
  });

  it('begins and ends where it is told to, and leaves other partitions alone', async () => {
    const offsets = await read({ from: new Map([[1, 123n]]), to: new Map([[1, 456n]]) });
    expect([...offsets]).toEqual([[1, range(123n, 456n)]]);
  });

  it('ends at once when there is nothing to read', async () => {
    const offsets = await read({ from: ends });
    expect(offsets.size).toBe(0);
  });

  it('follows what comes until it is told to stop', async () => {
    const stop = new AbortController();
    let records = 0;
    const reading = readLog({
      kafka,
      topic,
      from: ends,
      signal: stop.signal,
      onBatch: async (batch) => {
        records += batch.records.length;
        if (records === 300) stop.abort();
      },
    });
    await write(300);
    await reading;
    expect(records).toBe(300);
  });

  it('ends with what its handler throws', async () => {
    const onBatch = () => Promise.reject(new Error('enough'));
    await expect(read({ onBatch })).rejects.toThrow('enough');
  });

  it('says so when what it should begin with is no longer there', async () => {
    const partitions = [{ partition: 0, offset: '100' }];
    // The first tries of kafkajs 2.2.4 do not know yet who leads the partition.
    for (let tries = 0; tries < 20; tries += 1) {
      const failed = await admin.deleteTopicRecords({ topic, partitions }).then(
        () => false,
        () => true,
      );
      if (!failed) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await expect(read({})).rejects.toThrow(/offset 0 of partition 0 of .* is no longer in the log/);
  });

  it('steps over the markers of transactions and over what was aborted, also where transactions overlap', async () => {
    const end = ends.get(2) as bigint;
    const [first, second] = await Promise.all([beginTransaction(), beginTransaction()]);
    await first.send('aborted');
    await second.send('aborted, too');
    await first.send('aborted');
    await second.abort();
    await first.abort();
    const third = await beginTransaction();
    await third.send('committed');
    await third.commit();
    // Three records, two markers, one record, one marker.
    const to = new Map(ends).set(2, end + 7n);
    expect((await read({ to })).get(2)?.slice(Number(end))).toEqual([end + 5n]);
    expect((await read({ to, isolation: 'untransacted' })).get(2)).toEqual(range(0n, end));
  });

  it('waits for a transaction that is open, unless all that is of none is asked for', async () => {
    const end = ends.get(2) as bigint;
    const open = await beginTransaction();
    await open.send('open');
    await producer.send({ topic, messages: [{ partition: 2, value: 'behind it' }] });
    const [from, to] = [new Map([[2, end]]), new Map([[2, end + 2n]])];
    expect((await read({ from, to, isolation: 'untransacted' })).get(2)).toEqual([end + 1n]);
    const reading = read({ from, to });
    expect(await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 500, 'waits'))])).toBe('waits');
    await open.abort();
    expect((await reading).get(2)).toEqual([end + 1n]);
  });

  it('says that Kafka cannot be read when it does not answer', async () => {
    await expect(read({ kafka: readingClient(['127.0.0.1:1'], 'read-log-test') })).rejects.toThrow(LogUnreadableError);
  });
});

async function beginTransaction() {
  const transactionalId = `${topic}.${randomUUID()}`;
  const transactional = kafka.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true });
  await transactional.connect();
  const transaction = await transactional.transaction();
  const end = async (work: () => Promise<void>) => {
    await work();
    await transactional.disconnect();
  };
  return {
    send: (value: string) => transaction.send({ topic, messages: [{ partition: 2, value }] }),
    commit: () => end(() => transaction.commit()),
    abort: () => end(() => transaction.abort()),
  };
}
