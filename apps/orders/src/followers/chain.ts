import { ORDER_EVENT_SOURCE, type EventHeadersWritten, type LogCheckpoint } from '@tandem/contracts/event-record';
import { Partitioners } from 'kafkajs';

// What a relay knows and decides, without a database or a broker.

/** Where the log stands against the database, and why no relay can mend it: somebody has to look. */
export class LogMismatchError extends Error {
  override name = 'LogMismatchError';
}

/** The log no longer holds what was confirmed: what it lost is published again by taking over anew. */
export class LogLostError extends Error {
  override name = 'LogLostError';

  constructor(
    message: string,
    readonly partitions: readonly number[],
  ) {
    super(message);
  }
}

/** An event as the table holds it; `data` is its JSON, published byte for byte. */
export interface StoredEvent {
  position: bigint;
  order_id: string;
  version: number;
  type: string;
  data: string;
  at: Date;
  traceparent: string | null;
}

/** What was published of one partition: the last position and the offset after it. */
export interface PartitionEnd {
  partition: number;
  position: bigint;
  endOffset: bigint;
}

/** How far a relay has come, and what the log held by then. */
export interface Checkpoint {
  epoch: string;
  position: bigint;
  /** By number, without a gap. */
  partitions: readonly PartitionEnd[];
}

/** One record for the log. */
export interface LogRecord {
  partition: number;
  key: string;
  value: string;
  headers: Record<string, string>;
}

/**
 * As many of the events as fit one batch, as records, and the checkpoint that holds once every partition has confirmed
 * them: each partition's chain of `prev` goes on where the checkpoint left it. Of a partition that kept more than the
 * others when the log lost its tail, what is there is not sent again.
 *
 * @param events what follows the checkpoint's position, in order.
 * @param partitionBytesMax the most bytes of one partition; a single event may be larger.
 */
export function nextBatch(
  events: readonly StoredEvent[],
  from: Checkpoint,
  partitionBytesMax: number,
): { records: LogRecord[]; next: Checkpoint } {
  const partitions = from.partitions.map((end) => ({ ...end }));
  const bytes = new Map<number, number>();
  const records: LogRecord[] = [];
  let { position } = from;
  for (const event of events) {
    const partition = partitionOf(event.order_id, partitions.length);
    const size = (bytes.get(partition) ?? 0) + Buffer.byteLength(event.data) + RECORD_OVERHEAD_BYTES;
    if (size > partitionBytesMax && bytes.has(partition)) break;
    const end = partitions[partition] as PartitionEnd;
    if (event.position > end.position) {
      const headers = headersOf(event, end.position, from.epoch);
      records.push({ partition, key: event.order_id, value: event.data, headers });
      bytes.set(partition, size);
      end.position = event.position;
    }
    position = event.position;
  }
  return { records, next: { epoch: from.epoch, position, partitions } };
}

/** What a record of the log says of its place; `id` names its event (`ce_id`). */
export interface Place {
  position: bigint;
  prev: bigint;
  epoch: string;
  id: string;
}

/** How far an unbroken chain reaches in a partition: to position 0 when it has no beginning. */
export interface ChainEnd {
  position: bigint;
  epoch: string;
  /** The event there; undefined at position 0. */
  id?: string | undefined;
}

/** What a partition holds when a relay takes over. */
export interface LogEnd {
  low: bigint;
  end: bigint;
  /** Where its chain ends; undefined for an empty partition. */
  last: ChainEnd | undefined;
}

/**
 * Follows the chain through the records of a partition, as every reader does: repeats and strangers' records are passed, and
 * at a gap it is over, because what stands after a gap does not show that what belongs before it is there. A record of
 * another epoch ends it too, and is what is returned.
 *
 * @param places in the order of their offsets; undefined for a record that is not ours.
 * @param from where the chain stands before them.
 */
export function followPlaces(places: Iterable<Place | undefined>, from: ChainEnd): ChainEnd {
  let last = from;
  for (const place of places) {
    if (place === undefined) continue;
    const { position, prev, epoch, id } = place;
    if (epoch !== from.epoch) return { position, epoch, id };
    if (position <= last.position) continue;
    if (prev !== last.position) break;
    last = { position, epoch, id };
  }
  return last;
}

/**
 * The position that the first record of a partition follows where the last one known is no longer there. Records that were
 * deleted from the beginning, by retention or by hand, had been there, and reached as far as was known; a log that was begun
 * anew, or whose end was lost, does not show what it held.
 *
 * @param low the partition's first offset.
 */
export function positionBefore({ position, endOffset }: PartitionEnd, low: bigint): bigint {
  return low > 0n && low >= endOffset ? position : 0n;
}

/**
 * Where a relay that takes over goes on. Of a partition whose chain ends before the checkpoint, records were lost: they are
 * sent again. One whose chain reaches further got records whose checkpoint was never written: they are not.
 *
 * @param newest the last position in the database.
 * @throws LogMismatchError when the log holds what the database does not know, or has another number of partitions.
 */
export function takeOver(checkpoint: Checkpoint, log: ReadonlyMap<number, LogEnd>, newest: bigint): Checkpoint {
  const count = checkpoint.partitions.length;
  if (log.size !== count)
    throw new LogMismatchError(
      `The log has ${log.size} partitions, the database knows ${count}: orders would move between them. Restore the ` +
        'number, or make a new topic and rebuild.',
    );
  const moved = new Set<number>();
  const partitions = checkpoint.partitions.map((known) => {
    const { partition } = known;
    const found = log.get(partition);
    if (found === undefined) throw new LogMismatchError(`The log has no partition ${partition}.`);
    const { last, end: endOffset } = found;
    if (last !== undefined && (last.epoch !== checkpoint.epoch || last.position > newest))
      throw new LogMismatchError(
        `Partition ${partition} ends with position ${last.position} of epoch ${last.epoch}, but the database ends at ` +
          `${newest} of epoch ${checkpoint.epoch}: it was restored to an earlier state. Run npm run recover.`,
      );
    // Emptied by hand or by retention, yet as long as known: nothing tells that a record of ours is missing.
    if (last === undefined && endOffset >= known.endOffset) return known;
    const position = last?.position ?? 0n;
    if (position !== known.position) moved.add(partition);
    return { partition, position, endOffset };
  });
  const { epoch } = checkpoint;
  const position = partitions.reduce(
    (least, end) => (moved.has(end.partition) && end.position < least ? end.position : least),
    checkpoint.position,
  );
  return { epoch, position, partitions };
}

/**
 * A database that lost its last commits and went on may have passed the log's positions before a relay looks: then only the
 * events tell.
 *
 * @param ids the events of the database at the ends of the chains, `ce_id` by position.
 * @throws LogMismatchError when a chain ends with another event than the database has there.
 */
export function refuseStrangers(log: ReadonlyMap<number, LogEnd>, ids: ReadonlyMap<bigint, string>): void {
  for (const [partition, { last }] of log)
    if (last?.id !== undefined && ids.get(last.position) !== last.id)
      throw new LogMismatchError(
        `Partition ${partition} holds event ${last.id} at position ${last.position}, where the database has ` +
          `${ids.get(last.position) ?? 'none'}: it was restored to an earlier state. Run npm run recover.`,
      );
}

/**
 * Holds a confirmed batch against where the log ended before it: what a partition takes before that place lies after a hole.
 *
 * @param ends each partition's end offset after the batch.
 * @throws LogLostError when a partition has lost its tail, or was begun anew.
 */
export function expectContinued(
  before: Checkpoint,
  batch: readonly { partition: number }[],
  ends: ReadonlyMap<number, bigint>,
): void {
  const starts = new Map(ends);
  for (const { partition } of batch) starts.set(partition, (starts.get(partition) ?? 0n) - 1n);
  expectKept(before, starts);
}

/**
 * Holds the log against what was confirmed of it.
 *
 * @param ends end offsets of some partitions or all.
 * @throws LogLostError when a partition ends before it did.
 */
export function expectKept({ partitions }: Checkpoint, ends: ReadonlyMap<number, bigint>): void {
  const endOf = ({ partition, endOffset }: PartitionEnd) => ends.get(partition) ?? endOffset;
  const lost = partitions.filter((known) => endOf(known) < known.endOffset);
  const [first] = lost;
  if (first === undefined) return;
  const { partition, endOffset } = first;
  throw new LogLostError(
    `Partition ${partition} ended at ${endOffset}, and ends at ${endOf(first)} now: its log was lost.`,
    lost.map((known) => known.partition),
  );
}

/**
 * A checkpoint after a loss was seen: it ends some partitions where none can end, so whoever takes over follows their chains
 * from the beginning. What is sent until then may come to lie exactly where the last known record lay, and hide the loss.
 */
export function distrusted(checkpoint: Checkpoint, lost: readonly number[]): Checkpoint {
  const partitions = checkpoint.partitions.map((known) => {
    return lost.includes(known.partition) ? { ...known, endOffset: OFFSET_MAX } : known;
  });
  return { ...checkpoint, partitions };
}

/** Kafka's offsets are signed numbers of 64 bits. */
const OFFSET_MAX = 2n ** 63n - 1n;

/** The same with the ends that a confirmed batch was answered with. */
export function confirmed(checkpoint: Checkpoint, ends: ReadonlyMap<number, bigint>): Checkpoint {
  const partitions = checkpoint.partitions.map((end) => ({
    ...end,
    endOffset: ends.get(end.partition) ?? end.endOffset,
  }));
  return { ...checkpoint, partitions };
}

/** What `order.checkpoints` says of a checkpoint. */
export function checkpointRecord({ epoch, position, partitions }: Checkpoint): LogCheckpoint {
  return {
    epoch,
    position: Number(position),
    partitions: partitions.map(({ partition, position, endOffset }) => {
      return { partition, position: Number(position), endOffset: endOffset.toString() };
    }),
  };
}

const partitioner = Partitioners.DefaultPartitioner();

/** Kafka's own choice for a key (murmur2), so that any producer or tool finds an order in the same partition. */
export function partitionOf(orderId: string, partitions: number): number {
  const partitionMetadata = PARTITION_METADATA.slice(0, partitions);
  return partitioner({ topic: '', partitionMetadata, message: { key: orderId, value: null } });
}

const PARTITION_METADATA = Array.from({ length: 1_000 }, (_, partitionId) => {
  return { partitionErrorCode: 0, partitionId, leader: 0, replicas: [], isr: [] };
});

/** The `ce_id` of an event. */
export const eventId = ({ order_id, version }: Pick<StoredEvent, 'order_id' | 'version'>): string =>
  `${order_id}:${version}`;

/** Roughly what headers and framing add to a record's value. */
const RECORD_OVERHEAD_BYTES = 512;

function headersOf(event: StoredEvent, prev: bigint, epoch: string): Record<string, string> {
  const headers: Omit<EventHeadersWritten, 'traceparent'> = {
    ce_specversion: '1.0',
    ce_id: eventId(event),
    ce_type: event.type,
    ce_source: ORDER_EVENT_SOURCE,
    ce_subject: event.order_id,
    ce_time: event.at.toISOString(),
    'content-type': 'application/json',
    position: event.position.toString(),
    prev: prev.toString(),
    epoch,
    version: event.version.toString(),
  };
  return event.traceparent === null ? headers : { ...headers, traceparent: event.traceparent };
}
