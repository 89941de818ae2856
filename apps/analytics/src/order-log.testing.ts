import { randomUUID } from 'node:crypto';
import { EventHeaders, ORDER_EVENT_SOURCE, type LogCheckpoint } from '@tandem/contracts/event-record';
import type { OrderEvent } from '@tandem/contracts/order-events';
import type { Topology } from '@tandem/contracts/topology';
import { Kafka, Partitioners, logLevel, type Admin, type Message, type Producer } from 'kafkajs';

/** One event of an order, before it has its place in the log. */
export interface TestEvent {
  orderId: string;
  version: number;
  at: Date;
  event: OrderEvent;
}

/** A record as it is sent: with its partition and all of its headers. */
export type TestRecord = Message & { partition: number; headers: Record<string, string> };

const partitioner = Partitioners.DefaultPartitioner();

/** Kafka's own partition of an order. */
export function partitionOf(orderId: string, partitions: number): number {
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => {
    return { partitionId, partitionErrorCode: 0, leader: 0, replicas: [], isr: [] };
  });
  return partitioner({ topic: '', partitionMetadata, message: { key: orderId, value: null } });
}

/** The first record, from an index on, of an order that at least two more records follow. */
export function firstOfSeveral(records: readonly TestRecord[], index = 0): TestRecord {
  const found = records.slice(index).find(({ key }, _, rest) => rest.filter((record) => record.key === key).length > 2);
  if (found === undefined) throw new Error('No order has three records.');
  return found;
}

/**
 * Gives events their places in a log: positions in the order of the list, each naming the one before it in its partition.
 * Keeps the ends, so that it can go on with another list.
 */
export class Chain {
  position = 0n;
  readonly ends: bigint[];

  constructor(
    readonly partitions: number,
    readonly epoch: string = randomUUID(),
  ) {
    this.ends = Array.from({ length: partitions }, () => 0n);
  }

  records(events: readonly TestEvent[]): TestRecord[] {
    return events.map(({ orderId, version, at, event }) => {
      const partition = partitionOf(orderId, this.partitions);
      this.position += 1n;
      const prev = this.ends[partition] as bigint;
      this.ends[partition] = this.position;
      const headers: Record<keyof EventHeaders, string> = {
        ce_specversion: '1.0',
        ce_id: `${orderId}:${version}`,
        ce_type: event.type,
        ce_source: ORDER_EVENT_SOURCE,
        ce_subject: orderId,
        ce_time: at.toISOString(),
        'content-type': 'application/json',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        position: this.position.toString(),
        prev: prev.toString(),
        epoch: this.epoch,
        version: version.toString(),
      };
      return { partition, key: orderId, value: JSON.stringify(event.data), headers };
    });
  }

  checkpoint(endOffsets: readonly bigint[]): LogCheckpoint {
    const partitions = this.ends.map((position, partition) => {
      return { partition, position: Number(position), endOffset: (endOffsets[partition] ?? 0n).toString() };
    });
    return { epoch: this.epoch, position: Number(this.position), partitions };
  }
}

/** The two topics of a namespace on a real broker, written as the relay of orders writes them. */
export class OrderLog {
  readonly #admin: Admin;
  readonly #producer: Producer;
  readonly #kafka: Kafka;

  private constructor(
    readonly names: Topology,
    readonly partitions: number,
    readonly chain: Chain,
    kafka: Kafka,
  ) {
    this.#kafka = kafka;
    this.#admin = kafka.admin();
    this.#producer = kafka.producer({ allowAutoTopicCreation: false });
  }

  static async create(brokers: string[], names: Topology, partitions: number): Promise<OrderLog> {
    const kafka = new Kafka({ brokers, clientId: 'order-log-testing', logLevel: logLevel.NOTHING });
    const log = new OrderLog(names, partitions, new Chain(partitions), kafka);
    await log.#admin.connect();
    await log.#producer.connect();
    await log.createTopics();
    return log;
  }

  async createTopics(): Promise<void> {
    await this.#admin.createTopics({
      waitForLeaders: true,
      topics: [
        { topic: this.names.topics.orderEvents, numPartitions: this.partitions },
        { topic: this.names.topics.orderCheckpoints, numPartitions: 1 },
      ],
    });
  }

  /** Publishes events with their places, and the checkpoint after them. */
  async publish(events: readonly TestEvent[]): Promise<TestRecord[]> {
    const records = this.chain.records(events);
    await this.send(records);
    await this.checkpoint();
    return records;
  }

  /** Sends records as they are, in their order. */
  async send(records: readonly (Message & { partition: number })[]): Promise<void> {
    const topic = this.names.topics.orderEvents;
    for (let index = 0; index < records.length; index += 1_000)
      await this.#producer.send({ topic, messages: records.slice(index, index + 1_000) });
  }

  /** Sends records as a stranger does, in a transaction that ends as said. */
  async transact(records: readonly (Message & { partition: number })[], end: 'commit' | 'abort'): Promise<void> {
    await (
      await this.begin(records)
    )(end);
  }

  /** Sends records in a transaction that stays open. Returns what ends it. */
  async begin(
    records: readonly (Message & { partition: number })[],
  ): Promise<(end: 'commit' | 'abort') => Promise<void>> {
    const transactionalId = `${this.names.topics.orderEvents}.${randomUUID()}`;
    const producer = this.#kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send({ topic: this.names.topics.orderEvents, messages: [...records] });
    return async (end) => {
      await transaction[end]();
      await producer.disconnect();
    };
  }

  /** Says how far the chain has come. */
  async checkpoint(): Promise<void> {
    const value = JSON.stringify(this.chain.checkpoint(await this.endOffsets()));
    await this.#producer.send({
      topic: this.names.topics.orderCheckpoints,
      messages: [{ partition: 0, key: this.names.topics.orderEvents, value }],
    });
  }

  async endOffsets(): Promise<bigint[]> {
    const ends: bigint[] = [];
    for (const { partition, high } of await this.#admin.fetchTopicOffsets(this.names.topics.orderEvents))
      ends[partition] = BigInt(high);
    return ends;
  }

  /** Throws the whole log of events away, as the loss of a broker's disk does. */
  async lose(): Promise<void> {
    const topic = this.names.topics.orderEvents;
    await this.#admin.deleteTopics({ topics: [topic] });
    // The name is free only after the deletion has been carried out.
    for (let tries = 0; tries < 100; tries += 1) {
      if (!(await this.#admin.listTopics()).includes(topic)) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await this.createTopics();
  }

  async remove(): Promise<void> {
    const { topics, groups } = this.names;
    await this.#admin.deleteTopics({ topics: [topics.orderEvents, topics.orderCheckpoints] });
    await this.#admin.deleteGroups([groups.analytics]).catch(() => undefined);
    await this.disconnect();
  }

  async disconnect(): Promise<void> {
    await this.#producer.disconnect();
    await this.#admin.disconnect();
  }
}
