import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';

/**
 * Something that is counted from the events of the log. Its statements name its tables without a schema: the live copy is
 * in `public`, and whoever has a client whose `search_path` is another schema with the same tables counts into a copy.
 */
export interface Projection {
  /** As it is called in addresses and commands: `revenue-by-time`. */
  readonly name: string;
  /** One more with each change of what it counts: what an older version has counted must be rebuilt. */
  readonly version: number;
  /** All of its tables. Nobody else writes to them, and it reads no others. */
  readonly tables: readonly string[];
  /**
   * Adds the events of one partition, in the order of the log, in the transaction that moves the partition's offset: folded
   * in memory, then written in one statement. Each row that it writes belongs to the partition.
   */
  apply(client: PoolClient, partition: number, events: readonly CountedEvent[]): Promise<void>;
  /** What a copy holds, over all partitions. */
  totals(client: PoolClient): Promise<ProjectionTotals>;
}

/**
 * Adds the events to all projections at once: they share nothing but the connection, which, when it is pipelined, does not wait
 * between their statements. Settles when each has, so that what fails ends nobody's transaction too early.
 */
export async function applyAll(
  projections: readonly Projection[],
  client: PoolClient,
  partition: number,
  events: readonly CountedEvent[],
): Promise<void> {
  const failures: Error[] = [];
  const failed = (error: Error) => failures.push(error);
  await Promise.all(projections.map((each) => each.apply(client, partition, events).catch(failed)));
  // The first says why; the others, that the transaction had failed.
  if (failures[0] !== undefined) throw failures[0];
}

/** By which two copies are compared that were counted up to the same offsets. */
export interface ProjectionTotals {
  /** Counts and sums, by their names: the same in both copies, or one of them is wrong. */
  sums: Record<string, bigint>;
  /** By their names, in milliseconds: the same within twice `QUANTILE_ERROR`. */
  quantiles: Record<string, number>;
}

/** How far a quantile may lie from the exact one, as a share of it. */
export const QUANTILE_ERROR = 0.01;

/** Sums of money in minor units, and how many orders were placed. */
export interface RevenueSums {
  placed: number;
  placedAmount: bigint;
  gross: bigint;
  refunded: bigint;
}

/** Adds what an event says about money to the sums of its currency, which `sumsOf` finds. Most events say nothing. */
export function addRevenue({ event }: CountedEvent, sumsOf: (currency: string) => RevenueSums): void {
  switch (event.type) {
    case 'order.placed.v1': {
      const sums = sumsOf(event.data.currency);
      sums.placed += 1;
      sums.placedAmount += BigInt(event.data.total);
      return;
    }
    case 'order.payment-recorded.v1':
      sumsOf(event.data.currency).gross += BigInt(event.data.amount);
      return;
    case 'order.refund-recorded.v1':
      sumsOf(event.data.currency).refunded += BigInt(event.data.amount);
      return;
  }
}

export const noRevenue = (): RevenueSums => ({ placed: 0, placedAmount: 0n, gross: 0n, refunded: 0n });

/** One row of numbers of the database, as `bigint`s. */
export async function readSums(
  client: PoolClient,
  query: { name: string; text: string },
): Promise<Record<string, bigint>> {
  const { rows } = await client.query<Record<string, string | bigint | null>>(query);
  return Object.fromEntries(Object.entries(rows[0] ?? {}).map(([name, sum]) => [name, BigInt(sum ?? 0)]));
}
