import { clusterOf, partitionBounds, type Isolation, type PartitionBounds } from '@tandem/transports/kafka/cluster';
import { readLog, type LogBatch } from '@tandem/transports/kafka/read-log';
import type { Kafka } from 'kafkajs';
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

/** Records from one offset to another, which is not included. */
interface Stretch {
  from: bigint;
  end: bigint;
}

/** The offset of a partition's last known record, if the partition reaches from before it to beyond it. */
function recordOf({ position, endOffset }: PartitionEnd, { low, end }: PartitionBounds): bigint | undefined {
  const offset = endOffset - 1n;
  return position > 0n && offset >= low && offset < end ? offset : undefined;
}

/**
 * Each partition's beginning, and its end: the offset that the next record will get. Not the last stable offset: what was confirmed
 * is there, though somebody has a transaction open before it.
 */
export const endOffsets = (kafka: Kafka, topic: string): Promise<Map<number, PartitionBounds>> =>
  boundsOf(kafka, topic, 'uncommitted');

async function boundsOf(kafka: Kafka, topic: string, isolation: Isolation): Promise<Map<number, PartitionBounds>> {
  const cluster = clusterOf(kafka, isolation);
  try {
    return await partitionBounds(cluster, topic);
  } finally {
    await cluster.disconnect();
  }
}

/**
 * Reads stretches of partitions: what is committed, and behind the first transaction that is open what nobody wrote in one, as
 * the relay does.
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
  const stable = await boundsOf(kafka, topic, 'committed');
  const from = new Map([...stretches].map(([partition, stretch]) => [partition, stretch.from]));
  const to = new Map([...stretches].map(([partition, { end }]) => [partition, end]));
  const turn = (partition: number, offset: bigint) =>
    within(stable.get(partition)?.end ?? offset, stretches.get(partition));
  const turns = new Map([...to].map(([partition, end]) => [partition, turn(partition, end)]));
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(), stallMs);
  const onBatch = async ({ partition, records }: LogBatch) => {
    timer.refresh();
    places.get(partition)?.push(...records.map(({ headers }) => placeOf(headers)));
  };
  try {
    const reading = { kafka, topic, signal: stalled.signal, onBatch };
    await readLog({ ...reading, from, to: turns });
    await readLog({ ...reading, from: turns, to, isolation: 'untransacted' });
  } finally {
    clearTimeout(timer);
  }
  if (stalled.signal.aborted) throw new Error(`Reading ${topic} has stood still for ${stallMs} ms.`);
  return places;
}

const within = (offset: bigint, { from, end }: Stretch = { from: offset, end: offset }) =>
  offset < from ? from : offset > end ? end : offset;

function placeOf({ position, prev, epoch, ce_id: id }: Readonly<Record<string, string>>): Place | undefined {
  if (epoch === undefined || ![position, prev].every((number) => /^\d{1,19}$/.test(String(number)))) return undefined;
  return { position: BigInt(String(position)), prev: BigInt(String(prev)), epoch, id: String(id) };
}
