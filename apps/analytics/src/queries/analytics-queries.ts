import {
  type GetRevenue,
  type GetSummary,
  REVENUE_BUCKETS_MAX,
  type Revenue,
  type RevenueReply,
  type Summary,
  type SummaryReply,
} from '@tandem/contracts/analytics-queries';
import { transaction } from '@tandem/postgres/transaction';
import type { Pool, PoolClient } from 'pg';
import type { Progress } from '../checkpoints/progress.ts';
import { readOrderCounts } from '../projections/order-counts.ts';
import { PROJECTIONS } from '../projections/projections.ts';
import { readRevenueByMinute } from '../projections/revenue-by-minute.ts';
import { readRevenueTotals } from '../projections/revenue-totals.ts';
import { TooLargeError, toSafeInteger } from './too-large.ts';

type Behind = { outcome: 'behind'; position: number };
type TooLarge = { outcome: 'too_large'; detail: string };

/** Part of the wait is kept for the answer's way back: the caller gives up at its deadline. */
const ANSWER_MS = 250;

/**
 * The lock that a rebuild waits for comes before the snapshot: tables that were swapped after it would seem to lack what was
 * counted last. https://www.postgresql.org/docs/17/sql-lock.html
 */
const BEGIN = `begin isolation level repeatable read read only;
  lock table ${PROJECTIONS.flatMap(({ tables }) => tables).join(', ')} in access share mode`;

/** Answers from one snapshot: sums, parked and position of an answer belong together. */
export class AnalyticsQueries {
  readonly #pool: Pool;
  readonly #topic: string;
  readonly #progress: Progress;

  constructor(pool: Pool, topic: string, progress: Progress) {
    this.#pool = pool;
    this.#topic = topic;
    this.#progress = progress;
  }

  /** @param remainingMs how long the caller will wait for the answer. */
  async summary(query: GetSummary, remainingMs: number): Promise<SummaryReply> {
    const read = async (client: PoolClient) => {
      return { orders: await readOrderCounts(client), revenue: await readRevenueTotals(client) };
    };
    const answer = await this.#answer(query, remainingMs, read);
    return answer.outcome === 'counted' ? { outcome: 'counted', summary: answer.value satisfies Summary } : answer;
  }

  /** @param remainingMs how long the caller will wait for the answer. */
  async revenue(query: GetRevenue, remainingMs: number): Promise<RevenueReply> {
    const { from, to, bucket } = query;
    if (Date.parse(to) - Date.parse(from) > REVENUE_BUCKETS_MAX * 60_000)
      return { outcome: 'too_large', detail: `The range spans more than ${REVENUE_BUCKETS_MAX} minutes.` };
    const read = async (client: PoolClient) => ({ bucket, from, to, data: await readRevenueByMinute(client, query) });
    const answer = await this.#answer(query, remainingMs, read);
    return answer.outcome === 'counted' ? { outcome: 'counted', revenue: answer.value satisfies Revenue } : answer;
  }

  async #answer<T>(
    { after, waitMsMax }: GetSummary,
    remainingMs: number,
    read: (client: PoolClient) => Promise<T>,
  ): Promise<{ outcome: 'counted'; value: T & { position: number; parked: number } } | Behind | TooLarge> {
    if (after !== undefined) await this.#progress.waitFor(BigInt(after), Math.min(waitMsMax, remainingMs - ANSWER_MS));
    try {
      return await transaction(
        this.#pool,
        async (client) => {
          const position = Number(await this.#progress.read(client));
          if (after !== undefined && position < after) return { outcome: 'behind', position };
          const value = await read(client);
          return { outcome: 'counted', value: { ...value, position, parked: await this.parked(client) } };
        },
        BEGIN,
      );
    } catch (error) {
      if (error instanceof TooLargeError) return { outcome: 'too_large', detail: error.message };
      throw error;
    }
  }

  /** How many records are parked, in all partitions. */
  async parked(client: Pool | PoolClient = this.#pool): Promise<number> {
    const { rows } = await client.query<{ parked: string }>({
      name: 'read-parked',
      text: 'select coalesce(sum(parked), 0) as parked from consumer_offsets where topic = $1',
      values: [this.#topic],
    });
    return toSafeInteger(rows[0]?.parked ?? '0', 'the number of parked events');
  }
}
