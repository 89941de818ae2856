import type { PartitionBounds } from '@tandem/transports/kafka/cluster';
import type { Pool, PoolClient } from 'pg';
import type { Projection } from '../projections/projection.ts';
import { refuseOutdated } from '../projections/projection-versions.ts';

/** A partition's row, held until the transaction ends. */
export interface LockedOffset {
  nextOffset: bigint;
  mark: bigint;
  parked: number;
  gapOffset: bigint | null;
  epoch: string | undefined;
  /** Whether something was decided about records after the mark, in a log that is no more. */
  hasDecisions: boolean;
}

/** Another transaction has moved the offset though its row was locked: this one must not commit. */
export class FencedError extends Error {
  override name = 'FencedError';
}

/**
 * The next offset of a partition. One that lies past the end belongs to a log that has been rebuilt since: it is read from
 * its beginning, and the mark drops what was counted already. One that lies before the beginning moves there: whether
 * something is missing is for the chain to say.
 */
export async function startAt(
  pool: Pool,
  topic: string,
  partition: number,
  { low, end }: PartitionBounds,
): Promise<bigint> {
  const { rows } = await pool.query<{ next_offset: bigint }>({
    name: 'start-partition',
    text: `insert into consumer_offsets as o (topic, partition, next_offset) values ($1, $2, $3)
           on conflict (topic, partition) do update set
             next_offset = case when o.next_offset between $3 and $4 then o.next_offset else $3 end
           returning next_offset`,
    values: [topic, partition, low, end],
  });
  return rows[0]?.next_offset ?? low;
}

/**
 * Of the partitions of a topic, those whose next offset lies before the one given, or is gone: what was counted was forgotten,
 * to be counted again, or is searched for. A handler only ever moves it forward, and before its member knows.
 */
export async function rewound(pool: Pool, topic: string, standing: ReadonlyMap<number, bigint>): Promise<number[]> {
  const { rows } = await pool.query<{ partition: number }>({
    name: 'rewound-partitions',
    text: `select s.partition
             from unnest($2::integer[], $3::bigint[]) as s(partition, next_offset)
             left join consumer_offsets o on o.topic = $1 and o.partition = s.partition
            where coalesce(o.next_offset, 0) < s.next_offset`,
    values: [topic, [...standing.keys()], [...standing.values()]],
  });
  return rows.map(({ partition }) => partition);
}

/** Has a partition read again from its beginning, unless it was moved since: the mark drops what was counted. */
export async function searchFromBeginning(
  pool: Pool,
  topic: string,
  { partition, nextOffset, mark }: { partition: number; nextOffset: bigint; mark: bigint },
): Promise<void> {
  await pool.query({
    name: 'search-partition',
    text: `update consumer_offsets set next_offset = 0
            where topic = $1 and partition = $2 and next_offset = $3 and mark = $4`,
    values: [topic, partition, nextOffset, mark],
  });
}

/** Takes the lock of a partition's row. The epoch is read with it: it is written before any mark moves. */
export async function lockOffset(client: PoolClient, topic: string, partition: number): Promise<LockedOffset> {
  const { rows } = await client.query<{
    next_offset: bigint;
    mark: bigint;
    parked: number;
    gap_offset: bigint | null;
    epoch: string | null;
    has_decisions: boolean;
  }>({
    name: 'lock-offset',
    text: `select o.next_offset, o.mark, o.parked, o.gap_offset, l.epoch,
                  exists (select 1 from parked p where p.topic = o.topic and p.partition = o.partition
                                                   and p.position > o.mark and p.settled_as is not null) as has_decisions
             from consumer_offsets o left join logs l using (topic)
            where o.topic = $1 and o.partition = $2 for update of o`,
    values: [topic, partition],
  });
  const row = rows[0];
  if (row === undefined) throw new Error(`Partition ${partition} of ${topic} was never started.`);
  const { next_offset: nextOffset, mark, parked, gap_offset: gapOffset, epoch, has_decisions: hasDecisions } = row;
  return { nextOffset, mark, parked, gapOffset, epoch: epoch ?? undefined, hasDecisions };
}

/** Stores the first epoch of a log. @throws Error when another one was stored meanwhile. */
export async function storeEpoch(client: PoolClient, topic: string, epoch: string): Promise<void> {
  const { rows } = await client.query<{ epoch: string }>({
    name: 'store-epoch',
    text: `insert into logs as l (topic, epoch) values ($1, $2)
           on conflict (topic) do update set epoch = l.epoch returning epoch`,
    values: [topic, epoch],
  });
  if (rows[0]?.epoch !== epoch)
    throw new Error(`${topic} is of epoch ${epoch}, but what was counted is of ${rows[0]?.epoch}`);
}

/**
 * Moves a partition from where its lock found it, unless a newer version has counted one of the projections. The statement sees
 * every swap that committed before the partition was locked, as the one that takes the lock does not: it may have waited for it.
 *
 * @throws FencedError unless exactly that row was there.
 * @throws OutdatedError
 */
export async function moveOffset(
  client: PoolClient,
  topic: string,
  partition: number,
  from: LockedOffset,
  to: Pick<LockedOffset, 'nextOffset' | 'mark' | 'parked' | 'gapOffset'>,
  projections: readonly Projection[],
): Promise<void> {
  const { rowCount } = await client.query({
    name: 'move-offset',
    text: `update consumer_offsets set next_offset = $4, mark = $5, parked = $6, gap_offset = $7
            where topic = $1 and partition = $2 and next_offset = $3
              and not exists (select 1 from unnest($8::text[], $9::integer[]) as mine(name, version)
                                join projections p on p.name = mine.name and p.version > mine.version)`,
    values: [
      topic,
      partition,
      from.nextOffset,
      to.nextOffset,
      to.mark,
      to.parked,
      to.gapOffset,
      projections.map(({ name }) => name),
      projections.map(({ version }) => version),
    ],
  });
  if (rowCount === 1) return;
  await refuseOutdated(client, projections);
  throw new FencedError(`Partition ${partition} of ${topic} was moved by somebody else.`);
}
