import { Kafka, logLevel, type Batch, type Consumer, type EachBatchPayload } from 'kafkajs';
import { readHeadersAsText } from './header-texts.ts';
import { toRecord, type KafkaRecord } from './kafka-batch.ts';

/** What one fetch brought of one partition. */
export interface LogBatch {
  readonly partition: number;
  /** In their order; none below the offset that was asked for, none from `to` on. */
  readonly records: readonly KafkaRecord[];
  /** Where the next batch of this partition begins. */
  readonly nextOffset: bigint;
  /** The end of the partition when the batch was fetched. */
  readonly highWatermark: bigint;
}

export interface ReadLogOptions {
  brokers: string[];
  clientId: string;
  /** Of this reading alone: kafkajs cannot read without a group. It is deleted when the reading ends. */
  groupId: string;
  topic: string;
  /** The partitions to read, with the offset at which each begins. */
  from: ReadonlyMap<number, bigint>;
  /** Where each ends, not included; without it the reading goes on until `signal` is aborted. */
  to?: ReadonlyMap<number, bigint>;
  signal: AbortSignal;
  /** The most that one fetch brings of one partition. */
  partitionBytesMax?: number;
  /** Gets one batch at a time. What it throws ends the reading. */
  onBatch: (batch: LogBatch) => Promise<void>;
}

/**
 * Reads partitions of a topic from given offsets on and commits nothing: for what keeps its offsets elsewhere, or nowhere.
 *
 * Resolves when everything up to `to` was handled, or when `signal` is aborted and the batch under way is done.
 *
 * @throws Error of `onBatch`; when Kafka does not answer; when an offset that was asked for is no longer in the log.
 */
export async function readLog(options: ReadLogOptions): Promise<void> {
  const { brokers, clientId, groupId, topic, signal, partitionBytesMax = 1_048_576 } = options;
  const places = placesOf(options);
  if (places.size === 0 || signal.aborted) return;
  readHeadersAsText();
  const kafka = new Kafka({
    brokers,
    clientId,
    connectionTimeout: 3_000,
    requestTimeout: 30_000,
    retry: RETRY,
    logLevel: logLevel.NOTHING,
  });
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: SESSION_MS,
    heartbeatInterval: HEARTBEAT_MS,
    maxWaitTimeInMs: 100,
    maxBytesPerPartition: partitionBytesMax,
    maxBytes: 10 * partitionBytesMax,
    allowAutoTopicCreation: false,
    // What is read is judged by who reads it; a transaction that a stranger leaves open must hold nobody back.
    readUncommitted: true,
    retry: { ...RETRY, restartOnFailure: async () => false },
  });
  const ended = Promise.withResolvers<void>();
  // It may be rejected before anybody waits for it.
  ended.promise.catch(() => undefined);
  const end = () => ended.resolve();
  signal.addEventListener('abort', end, { once: true });
  consumer.on('consumer.crash', ({ payload }) => ended.reject(payload.error));
  // kafkajs calls this before it fetches: a seek here, synchronously, lets nothing from elsewhere through.
  consumer.on('consumer.group_join', ({ payload }) => {
    for (const partition of payload.memberAssignment[topic] ?? []) goOn(consumer, topic, partition, places);
  });
  // kafkajs never hands out transaction markers, but they take offsets.
  consumer.on('consumer.start_batch_process', ({ payload }) => {
    const place = places.get(payload.partition);
    if (payload.topic !== topic || payload.batchSize > 0 || place === undefined) return;
    place.next = BigInt(payload.lastOffset) + 1n;
    if (isRead(place)) finish(payload.partition);
  });
  const finish = (partition: number) => {
    places.delete(partition);
    consumer.pause([{ topic, partitions: [partition] }]);
    if (places.size === 0) end();
  };
  const eachBatch = async ({ batch, resolveOffset, heartbeat }: EachBatchPayload) => {
    const place = places.get(batch.partition);
    if (place === undefined || signal.aborted) return;
    const fetchedFrom = fetchedOffset(batch);
    if (fetchedFrom > place.next)
      return ended.reject(
        new Error(`offset ${place.next} of partition ${batch.partition} of ${topic} is no longer in the log`),
      );
    if (fetchedFrom < place.next) return goOn(consumer, topic, batch.partition, places);
    const beating = setInterval(() => void heartbeat().catch(() => undefined), HEARTBEAT_MS);
    try {
      const nextOffset = least(BigInt(batch.lastOffset()) + 1n, place.to);
      const records = batch.messages.map(toRecord).filter(({ offset }) => offset < nextOffset);
      const { partition, highWatermark } = batch;
      await options.onBatch({ partition, records, nextOffset, highWatermark: BigInt(highWatermark) });
      place.next = nextOffset;
      resolveOffset(batch.lastOffset());
      if (isRead(place)) finish(partition);
    } catch (error) {
      ended.reject(error);
    } finally {
      clearInterval(beating);
    }
  };
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch });
    await ended.promise;
  } finally {
    signal.removeEventListener('abort', end);
    await consumer.disconnect().catch(() => undefined);
    await deleteGroup(kafka, groupId);
  }
}

/** One partition: where it goes on, and where it ends. */
interface Place {
  next: bigint;
  to: bigint | undefined;
}

const isRead = ({ next, to }: Place) => to !== undefined && next >= to;
const least = (a: bigint, b: bigint | undefined) => (b !== undefined && b < a ? b : a);

/** The partitions in which something is to be read. */
function placesOf({ from, to }: ReadLogOptions): Map<number, Place> {
  const places = new Map<number, Place>();
  for (const [partition, next] of from) {
    const place = { next, to: to?.get(partition) };
    if (!isRead(place)) places.set(partition, place);
  }
  return places;
}

function goOn(consumer: Consumer, topic: string, partition: number, places: ReadonlyMap<number, Place>): void {
  const place = places.get(partition);
  if (place === undefined) consumer.pause([{ topic, partitions: [partition] }]);
  else consumer.seek({ topic, partition, offset: place.next.toString() });
}

/** A group that is left behind expires by itself: not worth failing for. */
async function deleteGroup(kafka: Kafka, groupId: string): Promise<void> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    await admin.deleteGroups([groupId]);
  } catch {
    // Nobody reads as this group any more.
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

const SESSION_MS = 10_000;
const HEARTBEAT_MS = 500;
const RETRY = { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000 };

/** The offset that was asked for, which kafkajs 2.2.4 has on its batches though its types do not say so. */
const fetchedOffset = (batch: Batch) => BigInt((batch as Batch & { fetchedOffset: string }).fetchedOffset);
