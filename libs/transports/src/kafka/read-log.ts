import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { clusterOf, committedMessages, ISOLATION_LEVELS, type Cluster, type FetchedPartition } from './cluster.ts';
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
  kafka: Kafka;
  topic: string;
  /** The partitions to read, with the offset at which each begins. */
  from: ReadonlyMap<number, bigint>;
  /** Where each ends, not included; without it the reading goes on until `signal` is aborted. */
  to?: ReadonlyMap<number, bigint>;
  /**
   * `committed` unless set: what a transaction has committed or nobody wrote in one, up to the first transaction that is open.
   * `untransacted`: what nobody wrote in a transaction, whichever is open.
   */
  isolation?: 'committed' | 'untransacted';
  signal: AbortSignal;
  /** The most that one fetch brings of one partition. */
  partitionBytesMax?: number;
  /** Gets one batch at a time. What it throws ends the reading. */
  onBatch: (batch: LogBatch) => Promise<void>;
}

/** Kafka does not answer, or not as the reader needs it: another try may succeed. */
export class LogUnreadableError extends Error {
  override name = 'LogUnreadableError';
}

/** The log does not hold what was asked for: its beginning was deleted, or all of it was lost. */
export class OffsetGoneError extends Error {
  override name = 'OffsetGoneError';
}

/**
 * Reads partitions of a topic from given offsets on, as a member of no group: nothing has to be joined, and nothing is committed.
 *
 * Resolves when everything up to `to` was handled, or when `signal` is aborted and the batch under way is done.
 *
 * @throws Error of `onBatch`.
 * @throws OffsetGoneError
 * @throws LogUnreadableError when Kafka does not answer.
 */
export async function readLog(options: ReadLogOptions): Promise<void> {
  const { kafka, signal } = options;
  const places = placesOf(options);
  if (places.size === 0 || signal.aborted) return;
  readHeadersAsText();
  const cluster = clusterOf(kafka, 'uncommitted');
  const over = new AbortController();
  const fetch = () => fetchSome(cluster, places, options, over.signal);
  const stopped = Promise.withResolvers<undefined>();
  const stop = () => stopped.resolve(undefined);
  signal.addEventListener('abort', stop, { once: true });
  let fetching: Promise<LogBatch[]> | undefined;
  try {
    fetching = fetch();
    while (fetching !== undefined) {
      const batches: LogBatch[] | undefined = await Promise.race([fetching, stopped.promise]);
      if (batches === undefined) return;
      // The next is fetched while these are handled.
      fetching = places.size > 0 ? fetch() : undefined;
      fetching?.catch(() => undefined); // It is awaited later, or never, when the handler throws.
      for (const batch of batches) {
        await options.onBatch(batch);
        if (signal.aborted) return;
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
    over.abort();
    const disconnect = () => cluster.disconnect().catch(() => undefined);
    await Promise.race([disconnect(), sleep(CLOSE_MS_MAX, undefined, { ref: false })]);
    // A fetch that is under way may connect once more.
    void fetching?.catch(() => undefined).finally(disconnect);
  }
}

/** A client for reading: it fails soon, because `readLog` tries again by itself. */
export function readingClient(brokers: string[], clientId: string): Kafka {
  const limits = { connectionTimeout: 3_000, requestTimeout: 10_000, retry: { retries: 0 } };
  return new Kafka({ brokers, clientId, ...limits, logLevel: logLevel.NOTHING });
}

/** One partition: where it goes on, and where it ends. */
interface Place {
  next: bigint;
  to: bigint | undefined;
}

const isRead = ({ next, to }: Place) => to !== undefined && next >= to;

/** The partitions in which something is to be read. */
function placesOf({ from, to }: ReadLogOptions): Map<number, Place> {
  const places = new Map<number, Place>();
  for (const [partition, next] of from) {
    const place = { next, to: to?.get(partition) };
    if (!isRead(place)) places.set(partition, place);
  }
  return places;
}

/** Fetches from each leader once and moves the places on; tries again while leaders move or a broker is away for a moment. */
async function fetchSome(
  cluster: Cluster,
  places: Map<number, Place>,
  { topic, isolation = 'committed', partitionBytesMax = 1_048_576 }: ReadLogOptions,
  over: AbortSignal,
): Promise<LogBatch[]> {
  for (let failures = 0; ; failures += 1) {
    try {
      await cluster.connect();
      await cluster.addTargetTopic(topic);
      if (failures > 0) await cluster.refreshMetadata();
      const leaders = Object.entries(cluster.findLeaderForPartitions(topic, [...places.keys()]));
      const known = leaders.reduce((count, [, partitions]) => count + partitions.length, 0);
      if (known < places.size) throw new Error(`${topic} lacks partitions that it had`);
      const answers = await Promise.all(
        leaders.map(async ([nodeId, partitions]) => {
          const broker = await cluster.findBroker({ nodeId });
          const wanted = partitions.map((partition) => {
            const fetchOffset = String((places.get(partition) as Place).next);
            return { partition, fetchOffset, maxBytes: partitionBytesMax };
          });
          return broker.fetch({
            isolationLevel: ISOLATION_LEVELS[isolation === 'committed' ? 'committed' : 'uncommitted'],
            maxWaitTime: WAIT_MS,
            maxBytes: 10 * partitionBytesMax,
            topics: [{ topic, partitions: wanted }],
          });
        }),
      );
      const fetched = answers.flatMap(({ responses }) => responses).flatMap(({ partitions }) => partitions);
      return fetched.flatMap((each) => take(each, places, isolation));
    } catch (error) {
      const { name, partition, host, port } = error as KafkaError;
      // The fetch of one partition fails for all: no place was moved.
      if (name === 'KafkaJSOffsetOutOfRange' && partition !== undefined)
        throw new OffsetGoneError(
          `offset ${places.get(partition)?.next} of partition ${partition} of ${topic} is no longer in the log`,
        );
      if (failures === FAILURES_MAX || over.aborted)
        throw new LogUnreadableError(`Kafka cannot be read: ${(error as Error).message}`, { cause: error });
      if (host !== undefined && port !== undefined) cluster.removeBroker({ host, port });
      await sleep(RETRY_MS * 2 ** failures, undefined, { ref: false });
    }
  }
}

type KafkaError = Error & { partition?: number; host?: string; port?: number };

/** What a fetch brought of a partition, unless that is nothing: what does not count takes offsets, too. */
function take(
  fetched: FetchedPartition,
  places: Map<number, Place>,
  isolation: ReadLogOptions['isolation'],
): LogBatch[] {
  const { partition, highWatermark, messages } = fetched;
  const place = places.get(partition);
  const last = messages.at(-1);
  if (place === undefined || last === undefined) return [];
  const from = place.next;
  // Of a compacted topic all records of a fetch may lie before what was asked for.
  const after = BigInt(last.offset) >= from ? BigInt(last.offset) + 1n : from + 1n;
  const nextOffset = place.to !== undefined && place.to < after ? place.to : after;
  place.next = nextOffset;
  if (isRead(place)) places.delete(partition);
  const seen =
    isolation === 'committed'
      ? committedMessages(fetched)
      : messages.filter(({ batchContext: { inTransaction } }) => !inTransaction);
  const records = seen.map(toRecord).filter(({ offset }) => offset >= from && offset < nextOffset);
  return [{ partition, records, nextOffset, highWatermark: BigInt(highWatermark) }];
}

const WAIT_MS = 100;
const CLOSE_MS_MAX = 2_000;
/** Tries of one fetch after the first, each after twice the pause of the one before: some three seconds. */
const FAILURES_MAX = 5;
const RETRY_MS = 100;
