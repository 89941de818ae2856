import { randomUUID } from 'node:crypto';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { Logger } from '@nestjs/common';
import { Kafka, logLevel, type Admin, type Message } from 'kafkajs';
import type { KafkaBatch } from './kafka-batch.ts';
import type { PartitionBounds } from './cluster.ts';
import { KafkaBatchServer, type KafkaBatchServerOptions } from './kafka-batch-server.ts';

Logger.overrideLogger(false);

export const brokers = (process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092').split(',');

/** A topic of its own on the real broker. */
export class TestTopic {
  readonly name = `${process.env['NAMESPACE'] ?? 'transports-test'}.${randomUUID().slice(0, 8)}`;
  readonly groupId = `${this.name}.group`;
  readonly #kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  readonly admin: Admin = this.#kafka.admin();
  readonly #servers: KafkaBatchServer[] = [];

  static async create(partitions: number): Promise<TestTopic> {
    const topic = new TestTopic();
    await topic.admin.connect();
    await topic.make(partitions);
    return topic;
  }

  async make(numPartitions: number): Promise<void> {
    await this.admin.createTopics({ waitForLeaders: true, topics: [{ topic: this.name, numPartitions }] });
  }

  async drop(): Promise<void> {
    await this.admin.deleteTopics({ topics: [this.name] });
    await eventually(async () => {
      if ((await this.admin.listTopics()).includes(this.name)) throw new Error('The topic is still there.');
    });
  }

  /** Deletes the oldest records of a partition. kafkajs does not find the leader of a topic that it has just created at once. */
  async deleteBelow(partition: number, offset: number): Promise<void> {
    const partitions = [{ partition, offset: String(offset) }];
    await eventually(() => this.admin.deleteTopicRecords({ topic: this.name, partitions }));
  }

  /** Sends numbered values to partitions. */
  async send(partition: number, from: number, to: number): Promise<void> {
    const producer = this.#kafka.producer({ allowAutoTopicCreation: false });
    await producer.connect();
    const messages: Message[] = [];
    for (let value = from; value < to; value += 1) messages.push({ partition, key: 'k', value: String(value) });
    await producer.send({ topic: this.name, messages });
    await producer.disconnect();
  }

  /** Sends values in a transaction that is committed or aborted: either way its marker takes an offset. */
  async transact(partition: number, values: string[], end: 'commit' | 'abort'): Promise<void> {
    await (
      await this.begin(partition, values)
    )(end);
  }

  /** Sends values in a transaction that is left open. Returns what ends it. */
  async begin(partition: number, values: string[]): Promise<(end: 'commit' | 'abort') => Promise<void>> {
    const transactionalId = `${this.name}.${randomUUID()}`;
    const retry = { initialRetryTime: 30 };
    const producer = this.#kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, retry });
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send({ topic: this.name, messages: values.map((value) => ({ partition, value })) });
    return async (end) => {
      await transaction[end]();
      await producer.disconnect();
    };
  }

  /** Starts a server whose handler keeps its offsets in `Offsets`. */
  async serve(
    handler: (batch: KafkaBatch) => Promise<void> | void,
    startAt: KafkaBatchServerOptions['startAt'],
    options: Partial<KafkaBatchServerOptions> = {},
  ): Promise<KafkaBatchServer> {
    const { groupId, name } = this;
    const topics = { 'order.events': name, 'another.pattern': 'nobody-handles-this' };
    const server = new KafkaBatchServer({
      brokers,
      clientId: 'test',
      groupId,
      topics,
      startAt,
      retryMsMin: 50,
      ...options,
    });
    server.addHandler('order.events', async (batch: KafkaBatch) => handler(batch), true);
    this.#servers.push(server);
    await server.listen(() => undefined);
    return server;
  }

  async remove(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()));
    await this.admin.deleteTopics({ topics: [this.name] }).catch(() => undefined);
    await this.admin.deleteGroups([this.groupId]).catch(() => undefined);
    await this.admin.disconnect();
  }
}

/** Offsets and values as a handler with a database keeps them: what does not begin where it left off is refused. */
export class Offsets {
  readonly values = new Map<number, string[]>();
  readonly #next = new Map<number, bigint>();
  readonly asked: { partition: number; bounds: PartitionBounds }[] = [];

  readonly startAt = (_topic: string, partition: number, bounds: PartitionBounds): Promise<bigint> => {
    this.asked.push({ partition, bounds });
    const next = this.#next.get(partition) ?? 0n;
    const start = next < bounds.low || next > bounds.end ? bounds.low : next;
    this.#next.set(partition, start);
    return Promise.resolve(start);
  };

  readonly take = ({ partition, firstOffset, nextOffset, records }: KafkaBatch): void => {
    const next = this.#next.get(partition);
    if (next !== firstOffset) throw new Error(`The batch begins at ${firstOffset}, not at ${next}.`);
    const values = this.values.get(partition) ?? [];
    values.push(...records.map(({ value }) => value?.toString() ?? ''));
    this.values.set(partition, values);
    this.#next.set(partition, nextOffset);
  };

  move(partition: number, offset: bigint): void {
    this.#next.set(partition, offset);
  }

  next(partition: number): bigint | undefined {
    return this.#next.get(partition);
  }
}

/** A port that leads to another, once it is opened. */
export class Gate {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => {
    const onwards = connect(this.#to);
    for (const end of [socket, onwards]) {
      this.#sockets.add(end);
      end.on('error', () => end.destroy()).on('close', () => this.#sockets.delete(end));
    }
    socket.pipe(onwards).pipe(socket);
  });
  readonly #to: { host: string; port: number };

  constructor(
    readonly port: number,
    to: string,
  ) {
    const [host = '', toPort = ''] = to.split(':');
    this.#to = { host, port: Number(toPort) };
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => this.#server.once('error', reject).listen(this.port, '127.0.0.1', resolve));
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Tries something again and again until it holds; what it last threw is the failure. */
export async function eventually<T>(assertion: () => Promise<T> | T, msMax = 20_000): Promise<T> {
  const late = performance.now() + msMax;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() > late) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
