import {
  type CustomersReply,
  DURATIONS_HOURS_MAX,
  type DurationsReply,
  FUNNEL_HOURS_MAX,
  type FunnelReply,
  type GetDurations,
  type GetFunnel,
  type GetLag,
  type GetRevenue,
  type GetSummary,
  type GetTop,
  type Lag,
  type LagReply,
  type ProductsReply,
  REVENUE_BUCKETS_MAX,
  type RevenueReply,
  type SummaryReply,
  TOP_DAYS_MAX,
} from '@tandem/contracts/analytics-queries';
import { transaction } from '@tandem/postgres/transaction';
import type { Pool, PoolClient } from 'pg';
import type { Progress } from '../checkpoints/progress.ts';
import { readTopCustomers } from '../projections/customers.ts';
import { readDurations } from '../projections/durations.ts';
import { readFunnel, readSteps } from '../projections/funnel.ts';
import { readOrderCounts } from '../projections/order-counts.ts';
import { readTopProducts } from '../projections/products.ts';
import { PROJECTIONS } from '../projections/projections.ts';
import { readRates } from '../projections/rates.ts';
import { readRefunds } from '../projections/refunds.ts';
import { readRevenueBetween, readRevenueByTime } from '../projections/revenue-by-time.ts';
import { readRevenueTotals } from '../projections/revenue-totals.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../projections/time-buckets.ts';
import { LogAwayError, type LogEnds } from './log-ends.ts';
import { TooLargeError, toSafeInteger } from './too-large.ts';

type Behind = { outcome: 'behind'; position: number };
type TooLarge = { outcome: 'too_large'; detail: string };
type Counted<T> = { outcome: 'counted'; value: T & { position: number; parked: number } };

/** Part of the wait is kept for the answer's way back: the caller gives up at its deadline. */
const ANSWER_MS = 250;

/**
 * The lock that a rebuild waits for comes before the snapshot: tables that were swapped after it would seem to lack what was
 * counted last. https://www.postgresql.org/docs/17/sql-lock.html
 */
const BEGIN = `begin isolation level repeatable read read only;
  lock table ${PROJECTIONS.flatMap(({ tables }) => tables).join(', ')} in access share mode`;

const BUCKET_MS = { minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS };

/**
 * Answers from one snapshot: sums, parked and position of an answer belong together. `remainingMs` is how long the caller
 * will wait for the answer; `onWait` is called when the answer has to wait for a position.
 */
export class AnalyticsQueries {
  readonly #pool: Pool;
  readonly #topic: string;
  readonly #progress: Progress;
  readonly #logEnds: LogEnds;

  constructor(pool: Pool, topic: string, progress: Progress, logEnds: LogEnds) {
    this.#pool = pool;
    this.#topic = topic;
    this.#progress = progress;
    this.#logEnds = logEnds;
  }

  async summary(query: GetSummary, remainingMs: number, onWait?: () => void): Promise<SummaryReply> {
    const { from, to, currency } = query;
    const answer = await this.#answer(query, { remainingMs, onWait }, async (client) => {
      if (from === undefined || to === undefined)
        return {
          orders: await readOrderCounts(client),
          revenue: await readRevenueTotals(client, currency),
          refunds: await readRefunds(client, currency),
          rates: await readRates(client),
        };
      checkRange({ from, to }, HOUR_MS, FUNNEL_HOURS_MAX, 'hours');
      const { orders } = await readSteps(client, { from, to });
      const revenue = await readRevenueBetween(client, { from, to, currency });
      return { from, to, orders, revenue, rates: await readRates(client) };
    });
    return answer.outcome === 'counted' ? { outcome: 'counted', summary: answer.value } : answer;
  }

  async revenue(query: GetRevenue, remainingMs: number, onWait?: () => void): Promise<RevenueReply> {
    const { from, to, bucket } = query;
    const answer = await this.#answer(query, { remainingMs, onWait }, async (client) => {
      checkRange(query, BUCKET_MS[bucket], REVENUE_BUCKETS_MAX, `${bucket}s`);
      return { bucket, from, to, data: await readRevenueByTime(client, query) };
    });
    return answer.outcome === 'counted' ? { outcome: 'counted', revenue: answer.value } : answer;
  }

  async funnel(query: GetFunnel, remainingMs: number, onWait?: () => void): Promise<FunnelReply> {
    const { from, to } = query;
    const answer = await this.#answer(query, { remainingMs, onWait }, async (client) => {
      checkRange(query, HOUR_MS, FUNNEL_HOURS_MAX, 'hours');
      return { from, to, ...(await readFunnel(client, query)) };
    });
    return answer.outcome === 'counted' ? { outcome: 'counted', funnel: answer.value } : answer;
  }

  async durations(query: GetDurations, remainingMs: number, onWait?: () => void): Promise<DurationsReply> {
    const { from, to } = query;
    const answer = await this.#answer(query, { remainingMs, onWait }, async (client) => {
      checkRange(query, HOUR_MS, DURATIONS_HOURS_MAX, 'hours');
      return { from, to, ...(await readDurations(client, query)) };
    });
    return answer.outcome === 'counted' ? { outcome: 'counted', durations: answer.value } : answer;
  }

  async products(query: GetTop, remainingMs: number, onWait?: () => void): Promise<ProductsReply> {
    const { from, to } = query;
    const answer = await this.#answer(query, { remainingMs, onWait }, async (client) => {
      checkRange(query, DAY_MS, TOP_DAYS_MAX, 'days');
      return { from, to, data: await readTopProducts(client, query) };
    });
    return answer.outcome === 'counted' ? { outcome: 'counted', products: answer.value } : answer;
  }

  async customers(query: GetTop, remainingMs: number, onWait?: () => void): Promise<CustomersReply> {
    const { from, to } = query;
    const answer = await this.#answer(query, { remainingMs, onWait }, async (client) => {
      checkRange(query, DAY_MS, TOP_DAYS_MAX, 'days');
      return { from, to, data: await readTopCustomers(client, query) };
    });
    return answer.outcome === 'counted' ? { outcome: 'counted', customers: answer.value } : answer;
  }

  async lag(query: GetLag, remainingMs: number, onWait?: () => void): Promise<LagReply> {
    try {
      const answer = await this.#answer(query, { remainingMs, onWait }, async (client) => {
        return { committed: await this.#committed(client) };
      });
      if (answer.outcome !== 'counted') return answer;
      const { committed, ...counted } = answer.value;
      // After the offsets, which never pass the ends.
      const ends = await this.#logEnds.ends();
      return { outcome: 'counted', lag: { ...(await this.#lagOf(ends, committed)), ...counted } };
    } catch (error) {
      if (error instanceof LogAwayError) return { outcome: 'log_away', detail: error.message };
      throw error;
    }
  }

  async #lagOf(
    ends: ReadonlyMap<number, bigint>,
    committed: ReadonlyMap<number, bigint>,
  ): Promise<Pick<Lag, 'lag' | 'oldestAgeMs' | 'partitions'>> {
    const offsets = [...ends].map(([partition, end]) => ({ partition, end, next: committed.get(partition) ?? 0n }));
    const behind = offsets.filter(({ end, next }) => end > next);
    const ages = await this.#logEnds.ages(new Map(behind.map(({ partition, next }) => [partition, next])));
    const partitions = offsets.map(({ partition, end, next }) => ({
      partition,
      endOffset: Number(end),
      committedOffset: Number(next),
      // An offset past the end is of a log that was lost since: nothing of the new one is known to be counted.
      lag: end > next ? Number(end - next) : 0,
      oldestAgeMs: ages.get(partition) ?? null,
    }));
    partitions.sort((a, b) => a.partition - b.partition);
    return {
      lag: partitions.reduce((sum, { lag }) => sum + lag, 0),
      oldestAgeMs: ages.size === 0 ? null : Math.max(...ages.values()),
      partitions,
    };
  }

  /** Up to where each partition that was ever started is counted: while it is searched, up to its gap. */
  async #committed(client: PoolClient): Promise<Map<number, bigint>> {
    const { rows } = await client.query<{ partition: number; next_offset: bigint }>({
      name: 'read-committed',
      text: 'select partition, coalesce(gap_offset, next_offset) as next_offset from consumer_offsets where topic = $1',
      values: [this.#topic],
    });
    return new Map(rows.map(({ partition, next_offset: next }) => [partition, next]));
  }

  async #answer<T>(
    { after, waitMsMax }: GetSummary,
    { remainingMs, onWait }: { remainingMs: number; onWait: (() => void) | undefined },
    read: (client: PoolClient) => Promise<T>,
  ): Promise<Counted<T> | Behind | TooLarge> {
    if (after !== undefined)
      await this.#progress.waitFor(BigInt(after), Math.min(waitMsMax, remainingMs - ANSWER_MS), onWait);
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

/** The gateway refuses such a range before it asks; whoever else asks is told here. @throws TooLargeError */
function checkRange({ from, to }: { from: string; to: string }, lengthMs: number, most: number, units: string): void {
  if (Date.parse(to) - Date.parse(from) > most * lengthMs)
    throw new TooLargeError(`The range spans more than ${most} ${units}.`);
}
