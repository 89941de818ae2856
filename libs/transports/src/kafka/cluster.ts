import type { Kafka, KafkaMessage } from 'kafkajs';

// kafkajs 2.2.4 reads only as a member of a consumer group, and asks for the ends of committed transactions only. Below its
// consumers and its admin lie the requests themselves, which it does not export.

/** Which records of a stranger's transactions are seen: those that are committed, or all. The relay itself writes none. */
export type Isolation = 'committed' | 'uncommitted';

/** What a partition holds: `low` is the offset of its first record, `end` the one that its next record will get. */
export interface PartitionBounds {
  low: bigint;
  end: bigint;
}

/** The part of kafkajs' own cluster that is used. */
export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  refreshMetadata(): Promise<void>;
  findTopicPartitionMetadata(topic: string): readonly { partitionId: number }[];
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>;
  fetchTopicsOffset(
    topics: readonly { topic: string; fromBeginning: boolean; partitions: readonly { partition: number }[] }[],
  ): Promise<readonly { partitions: readonly { partition: number; offset: string }[] }[]>;
  findBroker(node: { nodeId: string }): Promise<Broker>;
  removeBroker(address: { host: string; port: number }): void;
}

interface Broker {
  fetch(request: FetchRequest): Promise<FetchResponse>;
}

interface FetchRequest {
  isolationLevel: number;
  maxWaitTime: number;
  maxBytes: number;
  topics: { topic: string; partitions: { partition: number; fetchOffset: string; maxBytes: number }[] }[];
}

interface FetchResponse {
  responses: { topicName: string; partitions: FetchedPartition[] }[];
}

/** What one fetch brought of one partition, markers and aborted records included. */
export interface FetchedPartition {
  partition: number;
  highWatermark: string;
  /** Of a broker that knows transactions: nothing at or after it is known to be committed. */
  lastStableOffset?: string;
  abortedTransactions?: { producerId: string; firstOffset: string }[] | null;
  messages: FetchedMessage[];
}

export type FetchedMessage = KafkaMessage & {
  isControlRecord: boolean;
  batchContext: { producerId: string; inTransaction: boolean };
};

type CreateCluster = (options: { allowAutoTopicCreation: boolean; isolationLevel: number }) => Cluster;

/** https://kafka.apache.org/protocol.html#The_Messages_Fetch */
export const ISOLATION_LEVELS = { uncommitted: 0, committed: 1 } as const satisfies Record<Isolation, number>;

/** A connection to the brokers of a client, closed by the caller. */
export function clusterOf(kafka: Kafka, isolation: Isolation): Cluster {
  const isolationLevel = ISOLATION_LEVELS[isolation];
  const create = creatorOf(kafka)[creatorSymbol(kafka)] as CreateCluster;
  return create({ allowAutoTopicCreation: false, isolationLevel });
}

/**
 * What each partition of a topic holds. `uncommitted` ends after its last record; `committed` ends at its last stable offset,
 * which is before the first record of a transaction that is still open.
 */
export async function partitionBounds(cluster: Cluster, topic: string): Promise<Map<number, PartitionBounds>> {
  await cluster.connect();
  await cluster.addTargetTopic(topic);
  // A topic that was known before may have other leaders by now.
  await cluster.refreshMetadata();
  const partitions = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({ partition: partitionId }));
  const ask = async (fromBeginning: boolean) => {
    const [found] = await cluster.fetchTopicsOffset([{ topic, fromBeginning, partitions }]);
    return new Map(found?.partitions.map(({ partition, offset }) => [partition, BigInt(offset)]));
  };
  const [ends, lows] = [await ask(false), await ask(true)];
  return new Map([...ends].map(([partition, end]) => [partition, { low: lows.get(partition) ?? 0n, end }]));
}

/**
 * Has the consumers of this client, which read committed, hand out what kafkajs keeps to itself: a batch that ends with the marker
 * of a transaction, or with aborted records, ends with a message of which `isPlaceholder` is true, so that the offset after it is
 * known. The high watermark that they see is the last stable offset. Aborted records are found as Kafka's own consumer does:
 * kafkajs 2.2.4 hands some out when transactions overlap.
 *
 * @param onFetched told about each partition of each answer, also when it brought nothing.
 */
export function readCommitted(kafka: Kafka, onFetched: (topic: string, partition: FetchedPartition) => void): void {
  const [client, symbol] = [creatorOf(kafka), creatorSymbol(kafka)];
  const create = client[symbol] as CreateCluster;
  client[symbol] = (options) => {
    const cluster = create(options);
    const findBroker = cluster.findBroker.bind(cluster);
    const fetches = new WeakSet<Broker>();
    cluster.findBroker = async (node) => {
      const broker = await findBroker(node);
      if (fetches.has(broker)) return broker;
      fetches.add(broker);
      const fetch = broker.fetch.bind(broker);
      broker.fetch = async (request) => {
        const response = await fetch(request);
        for (const { topicName, partitions } of response.responses)
          for (const fetched of partitions) {
            onFetched(topicName, fetched);
            hideUncommitted(fetched);
          }
        return response;
      };
      return broker;
    };
    return cluster;
  };
}

const placeholders = new WeakSet<KafkaMessage>();

/** Whether a message only stands for the offset that it has. */
export const isPlaceholder = (message: KafkaMessage): boolean => placeholders.has(message);

function hideUncommitted(fetched: FetchedPartition): void {
  const { messages, lastStableOffset } = fetched;
  const committed = committedMessages(fetched);
  if (committed.length < messages.length) {
    const kept = new Set(committed);
    for (const message of messages) message.isControlRecord = !kept.has(message);
    const last = messages.at(-1);
    if (last?.isControlRecord === true) {
      last.isControlRecord = false;
      placeholders.add(last);
    }
  }
  fetched.abortedTransactions = [];
  if (lastStableOffset !== undefined) fetched.highWatermark = lastStableOffset;
}

/** The records of a fetch that are of no transaction, or of one that was committed. */
export function committedMessages({ messages, abortedTransactions }: FetchedPartition): FetchedMessage[] {
  const begins = (abortedTransactions ?? [])
    .map(({ producerId, firstOffset }) => ({ producerId, firstOffset: BigInt(firstOffset) }))
    .sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const aborting = new Set<string>();
  return messages.filter((message) => {
    while (begins[0] !== undefined && begins[0].firstOffset <= BigInt(message.offset))
      aborting.add(begins.shift()?.producerId as string);
    const { producerId, inTransaction } = message.batchContext;
    // Version and type of a marker, 16 bits each: 0 aborts, 1 commits.
    if (message.isControlRecord && message.key?.readInt16BE(2) === 0) aborting.delete(producerId);
    return !message.isControlRecord && !(inTransaction && aborting.has(producerId));
  });
}

const creatorOf = (kafka: Kafka) => kafka as unknown as Record<symbol, CreateCluster>;

function creatorSymbol(kafka: Kafka): symbol {
  const found = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === CREATE_CLUSTER);
  if (found === undefined) throw new Error('This version of kafkajs is not the one that this file was written for.');
  return found;
}

const CREATE_CLUSTER = 'private:Kafka:createCluster';
