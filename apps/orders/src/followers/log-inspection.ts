import { randomUUID } from 'node:crypto';
import type { Batch, Consumer, Kafka } from 'kafkajs';
import {
  followPlaces,
  positionBefore,
  type ChainEnd,
  type Checkpoint,
  type LogEnd,
  type PartitionEnd,
  type Place,
} from './chain.ts';

/**
 * What each partition of a topic holds: its beginning, its end, and how far an unbroken chain reaches. The chain is followed
 * from the last record of the checkpoint, which shows that what lies before it is as it was; where another record stands in
 * its place, or none, from the beginning of the partition. What was deleted there is taken for what was known to be there.
 *
 * @param stallMs how long reading may stand still.
 * @throws Error when Kafka is away or reading stands still.
 */
export async function inspectLog(
  kafka: Kafka,
  topic: string,
  { epoch, partitions }: Checkpoint,
  stallMs: number,
): Promise<Map<number, LogEnd>> {
  const bounds = await endOffsets(kafka, topic);
  const chains = new Map<number, ChainEnd>();
  const stretches = new Map<number, Stretch>();
  for (const known of partitions) {
    const found = bounds.get(known.partition);
    if (found === undefined || found.low === found.end) continue;
    stretches.set(known.partition, { from: recordOf(known, found) ?? found.low, end: found.end });
  }
  const fromBeginning = new Map<number, Stretch>();
  const places = await readPlaces(kafka, topic, stretches, stallMs);
  for (const known of partitions) {
    const { partition, position } = known;
    const found = bounds.get(partition);
    const read = places.get(partition);
    if (found === undefined || read === undefined) continue;
    if (recordOf(known, found) === undefined)
      chains.set(partition, followPlaces(read, { position: positionBefore(known, found.low), epoch }));
    else if (read[0]?.position === position && read[0].epoch === epoch)
      chains.set(partition, followPlaces(read, { position, epoch, id: read[0].id }));
    else fromBeginning.set(partition, { from: found.low, end: found.end });
  }
  for (const [partition, read] of await readPlaces(kafka, topic, fromBeginning, stallMs))
    chains.set(partition, followPlaces(read, { position: 0n, epoch }));
  return new Map([...bounds].map(([partition, found]) => [partition, { ...found, last: chains.get(partition) }]));
}

interface Bounds {
  low: bigint;
  end: bigint;
}

/** Records from one offset to another, which is not included. */
interface Stretch {
  from: bigint;
  end: bigint;
}

/** The offset of a partition's last known record, if the partition reaches from before it to beyond it. */
function recordOf({ position, endOffset }: PartitionEnd, { low, end }: Bounds): bigint | undefined {
  const offset = endOffset - 1n;
  return position > 0n && offset >= low && offset < end ? offset : undefined;
}

/** Each partition's beginning, and its end: the offset that the next record will get. */
export async function endOffsets(kafka: Kafka, topic: string): Promise<Map<number, Bounds>> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const offsets = await admin.fetchTopicOffsets(topic);
    return new Map(offsets.map(({ partition, low, high }) => [partition, { low: BigInt(low), end: BigInt(high) }]));
  } finally {
    await admin.disconnect();
  }
}

/**
 * Reads stretches of partitions, through a consumer group of its own that is deleted afterwards (kafkajs has no reading
 * without a group).
 *
 * @throws Error when nothing came for `stallMs`.
 */
async function readPlaces(
  kafka: Kafka,
  topic: string,
  stretches: ReadonlyMap<number, Stretch>,
  stallMs: number,
): Promise<Map<number, (Place | undefined)[]>> {
  const places = new Map([...stretches.keys()].map((partition) => [partition, [] as (Place | undefined)[]]));
  if (stretches.size === 0) return places;
  const groupId = `${topic}.inspection-${randomUUID()}`;
  const consumer = kafka.consumer({
    groupId,
    maxWaitTimeInMs: 100,
    sessionTimeout: 10_000,
    // A consumer that starts again by itself after it has been given up would never end.
    retry: { retries: 2, restartOnFailure: async () => false },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    await consumer.connect();
    await consumer.subscribe({ topic });
    await new Promise<void>((resolve, reject) => {
      const late = () => reject(new Error(`Reading ${topic} has stood still for ${stallMs} ms.`));
      timer = setTimeout(late, stallMs);
      const nextOffsets = new Map([...stretches].map(([partition, { from }]) => [partition, from]));
      const read = (partition: number, nextOffset: bigint) => {
        timer?.refresh();
        nextOffsets.set(partition, nextOffset);
        for (const [each, { end }] of stretches) if ((nextOffsets.get(each) as bigint) < end) return;
        resolve();
      };
      const take = (batch: Batch) => {
        const nextOffset = nextOffsets.get(batch.partition);
        // kafkajs hands out what it fetched before its seek.
        if (nextOffset === undefined || fetchedFrom(batch) > nextOffset) return;
        for (const { offset, headers = {} } of batch.messages)
          if (BigInt(offset) >= nextOffset) places.get(batch.partition)?.push(placeOf(headers));
        const after = BigInt(batch.lastOffset()) + 1n;
        if (after > nextOffset) read(batch.partition, after);
      };
      skipFiltered(consumer, (partition, offset) => {
        // Before its seek a consumer stands at the end, so what lies before the end comes after it.
        if (offset >= (nextOffsets.get(partition) ?? offset + 1n) && offset < (stretches.get(partition)?.end ?? 0n))
          read(partition, offset + 1n);
      });
      consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      consumer
        .run({ autoCommit: false, eachBatch: async ({ batch }) => take(batch) })
        .then(() => {
          for (const [partition, { from }] of stretches) consumer.seek({ topic, partition, offset: from.toString() });
        })
        // A seek throws when the consumer has crashed while it was starting.
        .catch(reject);
    });
    return places;
  } finally {
    clearTimeout(timer);
    await consumer.disconnect();
    // A group that is left behind expires by itself: not worth failing for.
    await deleteGroup(kafka, groupId).catch(() => undefined);
  }
}

/** kafkajs never hands out the markers of transactions, which strangers may write and which take offsets. */
function skipFiltered(consumer: Consumer, skip: (partition: number, offset: bigint) => void): void {
  consumer.on('consumer.start_batch_process', ({ payload }) => {
    if (payload.batchSize === 0) skip(payload.partition, BigInt(payload.lastOffset));
  });
}

/** The offset that was asked for, which kafkajs 2.2.4 has on its batches though its types do not say so. */
const fetchedFrom = (batch: Batch) => BigInt((batch as Batch & { fetchedOffset: string }).fetchedOffset);

function placeOf(headers: Record<string, unknown>): Place | undefined {
  const { position, prev, epoch, ce_id: id } = headers;
  if (epoch === undefined || ![position, prev].every((number) => /^\d{1,19}$/.test(String(number)))) return undefined;
  return { position: BigInt(String(position)), prev: BigInt(String(prev)), epoch: String(epoch), id: String(id) };
}

async function deleteGroup(kafka: Kafka, groupId: string): Promise<void> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    await admin.deleteGroups([groupId]);
  } finally {
    await admin.disconnect();
  }
}
