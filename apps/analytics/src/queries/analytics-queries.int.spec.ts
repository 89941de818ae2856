import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Summary } from '@tandem/contracts/analytics-queries';
import { AnalyticsDatabase, eventually } from '../analytics-database.testing.ts';
import { Progress } from '../checkpoints/progress.ts';
import { EventCounter } from '../consumer/event-counter.ts';
import { Partition } from '../consumer/records.testing.ts';
import { placed } from '../histories.testing.ts';
import { Chain, type TestEvent } from '../order-log.testing.ts';
import { PROJECTIONS } from '../projections/projections.ts';
import type { AnalyticsQueries } from './analytics-queries.ts';

const TOPIC = 'order.events';
const PARTITIONS = 3;
let database: AnalyticsDatabase;

beforeAll(async () => (database = await AnalyticsDatabase.create()));
beforeEach(() => database.empty());
afterAll(() => database?.remove());

/** Orders of one cent each: the number of orders, the placed amount and the number of events are one and the same. */
const orders = (count: number): TestEvent[] =>
  Array.from({ length: count }, (_, second) => {
    const at = new Date(Date.parse('2026-01-01T00:00:00.000Z') + second * 1_000);
    return { orderId: randomUUID(), version: 1, at, event: placed('EUR', 1) };
  });

function instance() {
  const progress = new Progress(database.pool, TOPIC);
  const counter = new EventCounter(database.pool, PROJECTIONS, () => progress.changed());
  return { progress, counter, queries: database.queries(progress) };
}

async function summaryOf(queries: AnalyticsQueries): Promise<Summary> {
  const reply = await queries.summary({ waitMsMax: 0 }, Infinity);
  if (reply.outcome !== 'counted') throw new Error(`The summary is ${reply.outcome}.`);
  return reply.summary;
}

/** A log of three partitions, and the checkpoint after each of its stretches. */
function logOf(chain: Chain, log: Partition[], events: readonly TestEvent[]) {
  for (const record of chain.records(events)) log[record.partition]?.append([record]);
  return chain.checkpoint(log.map(({ end }) => end));
}

async function countInSteps(counter: EventCounter, partition: Partition, step: number): Promise<void> {
  let from = await counter.startAt(TOPIC, partition.partition, { low: 0n, end: partition.end });
  while (from < partition.end) {
    const to = from + BigInt(step) < partition.end ? from + BigInt(step) : partition.end;
    await counter.count(partition.batch(from, to));
    from = to;
  }
}

const newLog = () => Array.from({ length: PARTITIONS }, (_, partition) => new Partition(TOPIC, partition));

describe('an answer', () => {
  it('is one moment: its sums agree, and its position never claims more than they hold', async () => {
    const { progress, counter, queries } = instance();
    const other = instance();
    const chain = new Chain(PARTITIONS);
    const log = newLog();
    for (let stretch = 0; stretch < 20; stretch += 1) {
      const checkpoint = logOf(chain, log, orders(50));
      progress.add(checkpoint);
      other.progress.add(checkpoint);
    }
    let counting = true;
    const counted = Promise.all(log.map((partition, index) => countInSteps(counter, partition, 3 + index))).finally(
      () => (counting = false),
    );
    const range = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-01T01:00:00.000Z', bucket: 'minute' } as const;
    const positions = new Set<number>();
    while (counting) {
      for (const asked of [queries, other.queries]) {
        const { orders, revenue, position } = await summaryOf(asked);
        expect(revenue[0]?.placedAmount ?? 0).toBe(orders.placed);
        expect(orders.placed).toBeGreaterThanOrEqual(position);
        positions.add(position);
        const reply = await asked.revenue({ ...range, waitMsMax: 0 }, Infinity);
        if (reply.outcome !== 'counted') throw new Error(`The revenue is ${reply.outcome}.`);
        const placed = reply.revenue.data.reduce((sum, bucket) => sum + bucket.placed, 0);
        expect(placed).toBeGreaterThanOrEqual(reply.revenue.position);
        expect(placed).toBeGreaterThanOrEqual(orders.placed);
      }
    }
    await counted;
    expect(positions.size).toBeGreaterThan(3);
    expect(await summaryOf(other.queries)).toMatchObject({ position: 1_000, orders: { placed: 1_000 } });
    await Promise.all([progress.close(), other.progress.close()]);
  });

  it('says no less after a restart, though the newest checkpoint is out of reach then', async () => {
    const first = instance();
    const chain = new Chain(PARTITIONS);
    const log = newLog();
    first.progress.add(logOf(chain, log, orders(50)));
    for (const partition of log) await countInSteps(first.counter, partition, 10);
    const before = await summaryOf(first.queries);
    expect(before.position).toBe(50);
    await first.progress.waitFor(50n, 1_000);
    await first.progress.close();
    const second = instance();
    second.progress.add(logOf(chain, log, orders(50)));
    expect((await summaryOf(second.queries)).position).toBe(50);
    await second.progress.close();
  });
});

describe('a log that was begun anew', () => {
  it('is counted from nothing: what an instance remembers of the former one is not claimed of it', async () => {
    const first = instance();
    const former = newLog();
    first.progress.add(logOf(new Chain(PARTITIONS), former, orders(50)));
    for (const partition of former) await countInSteps(first.counter, partition, 10);
    await first.progress.waitFor(50n, 1_000);
    await database.empty();
    const chain = new Chain(PARTITIONS);
    const log = newLog();
    const checkpoint = logOf(chain, log, orders(20));
    for (const partition of log) await countInSteps(first.counter, partition, 100);
    await first.progress.close();
    const second = instance();
    second.progress.add(checkpoint);
    expect(await summaryOf(second.queries)).toMatchObject({ position: 20, orders: { placed: 20 } });
    await second.progress.close();
  });
});

describe('waiting for a position', () => {
  it('ends as soon as it is counted, by this instance or by another', async () => {
    const { progress, counter, queries } = instance();
    const other = instance();
    const chain = new Chain(PARTITIONS);
    const log = newLog();
    for (const member of [counter, other.counter]) {
      const checkpoint = logOf(chain, log, orders(20));
      progress.add(checkpoint);
      const after = checkpoint.position;
      const asked = performance.now();
      const answer = queries.summary({ after, waitMsMax: 60_000 }, Infinity);
      for (const partition of log) await countInSteps(member, partition, 100);
      expect(await answer).toMatchObject({ outcome: 'counted', summary: { position: after } });
      expect(performance.now() - asked).toBeLessThan(30_000);
    }
    await Promise.all([progress.close(), other.progress.close()]);
  });

  it('is no longer than the caller waits, and is over when the service stops', async () => {
    const { progress, queries } = instance();
    const asked = performance.now();
    expect(await queries.summary({ after: 9, waitMsMax: 60_000 }, 600)).toEqual({ outcome: 'behind', position: 0 });
    expect(performance.now() - asked).toBeLessThan(30_000);
    const waiting = queries.summary({ after: 9, waitMsMax: 60_000 }, Infinity);
    setTimeout(() => progress.release(), 50);
    expect(await waiting).toEqual({ outcome: 'behind', position: 0 });
    await progress.close();
  });

  it('outlives a database that is away for a while', async () => {
    const { progress, queries, counter } = instance();
    const chain = new Chain(PARTITIONS);
    const log = newLog();
    progress.add(logOf(chain, log, orders(20)));
    const answer = queries.summary({ after: 20, waitMsMax: 10_000 }, Infinity);
    await database.pool.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
    // A connection may be handed out before it is known to be dead; a consumer tries again.
    for (const partition of log) await eventually(() => countInSteps(counter, partition, 100));
    expect(await answer).toMatchObject({ outcome: 'counted', summary: { position: 20 } });
    await progress.close();
  });
});
