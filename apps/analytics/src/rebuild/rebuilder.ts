import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { ProjectionDifference } from '@tandem/contracts/projections';
import { isNotDone, sqlState } from '@tandem/postgres/errors';
import { leadWheneverPossible, pause, type Term } from '@tandem/postgres/leader';
import { LogUnreadableError, OffsetGoneError, readLog, type LogBatch } from '@tandem/transports/kafka/read-log';
import type { Kafka } from 'kafkajs';
import type { ClientBase, PoolClient } from 'pg';
import { decisionsAfter } from '../consumer/parking.ts';
import { countedVersions } from '../projections/projection-versions.ts';
import type { Projection } from '../projections/projection.ts';
import { differences } from './compare.ts';
import { followAgain, RebuildRefusedError } from './follow-again.ts';
import type { LogBounds } from './log-bounds.ts';
import {
  beginReading,
  cancelledRebuilds,
  finish,
  nextRebuild,
  noteProgress,
  noteReason,
  noteTotal,
  RebuildGoneError,
  startOver,
  waitsForNewer,
  type OpenRebuild,
} from './rebuilds.ts';
import {
  blockers,
  copyTotals,
  createShadow,
  dropShadow,
  ignoreChanges,
  moveShadow,
  noteChanges,
  onLive,
  onShadow,
  partsOf,
  redrivenSince,
  shadowOffsets,
  SLICE_BYTES,
  swap,
  type ShadowOffset,
} from './shadow.ts';

export interface RebuilderOptions {
  /** The database of analytics. */
  url: string;
  kafka: Kafka;
  topic: string;
  projections: readonly Projection[];
  bounds: LogBounds;
  /** The pause before another try. */
  retryMs?: number;
  /** So much of a table and a partition is compared in one step. */
  sliceBytes?: number;
}

/** With at most this many records left to read, the copies are compared, and the live copy is made to wait. */
const CLOSE_RECORDS = 2_000n;
/** Tries in a row that fail before a rebuild is given up. What waits for Kafka, or for a lock, is no failure. */
const FAILURES_MAX = 30;
const RETRY_MS = 1_000;
const LOOK_MS = 500;
/** How long the swap waits for its locks, while counting waits behind the one and queries behind the other; and between its tries. */
const COUNTING_LOCK_MS = 1_000;
const TABLES_LOCK_MS = 200;
const LOCK_PAUSE_MS_MAX = 10_000;
/** A transaction that is as old holds its locks for longer than it would pay to wait for. */
const BLOCKER_MS = 1_000;
/** How long reading the last records may take, while nothing is counted. */
const LOCKED_READ_MS_MAX = 2_000;
const TERM = { idleTimeoutMs: 10_000, heartbeatMs: 1_000, retryMs: 1_000, statementTimeoutMs: 60_000 };

/** One rebuild in the hands of a leader. */
interface Run {
  readonly client: ClientBase;
  readonly id: string;
  readonly projection: Projection;
  /** Whether a difference to the live copy fails it. */
  readonly mustAgree: boolean;
  /** In what the copies differed when they were compared whole. */
  found: ProjectionDifference[] | undefined;
  /** What keeps it from its end. */
  reason: string | null;
  readonly signal: AbortSignal;
}

/** A step that was taken back, because what it went by has changed. */
class BeginAnewError extends Error {}

/** The copies are not the same. */
class DifferentError extends Error {
  constructor(readonly found: ProjectionDifference[]) {
    super('It says something else than the live copy of the same version: one of them is wrong.');
  }
}

/**
 * Rebuilds projections from the log while the live copies go on counting and answering. What it reads goes into a shadow copy,
 * whose offsets commit with it, so whoever comes after a crash goes on where it ended. When little is left, both copies are
 * compared at equal offsets in one snapshot, which holds up nobody. Then all counting is locked out for a moment: the rest is
 * read, the rows that it changed are compared, and the shadow takes the place of the live copy, all in one transaction.
 *
 * One instance rebuilds at a time: everything is written over the one connection that holds the lock of the leader.
 */
export class Rebuilder {
  readonly #logger = new Logger(Rebuilder.name);
  readonly #options: RebuilderOptions;
  readonly #stop = new AbortController();
  #leading: Promise<void> | undefined;

  constructor(options: RebuilderOptions) {
    this.#options = options;
  }

  /** Works whenever no other instance does. */
  start(): void {
    this.#leading = leadWheneverPossible(
      { url: this.#options.url, name: 'analytics.rebuild', ...TERM },
      this.#stop.signal,
      (term) => this.#lead(term),
      (error) => this.#logger.debug(`Not rebuilding: ${error.message}`),
    );
  }

  /** Stops after the batch under way. What was read is kept, and gone on with by whoever leads next. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#leading;
  }

  async #lead({ client, signal }: Term): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const rebuild = await nextRebuild(client, this.#options.projections);
      if (rebuild === undefined) {
        for (const name of await cancelledRebuilds(client)) await dropShadow(client, { name });
        await pause(LOOK_MS, signal);
        // Another instance may have what it waits for, and leads when this one does not.
        if (await waitsForNewer(client, this.#options.projections)) return;
        continue;
      }
      try {
        await this.#rebuild(client, rebuild, signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        await client.query('rollback');
        if (error instanceof RebuildGoneError) continue;
        const { message } = error as Error;
        this.#logger.warn(`The rebuild of ${rebuild.projection} stopped: ${message}`);
        if (!(error instanceof LogUnreadableError || isNotDone(error))) failures += 1;
        if (error instanceof RebuildRefusedError || error instanceof DifferentError || failures >= FAILURES_MAX) {
          failures = 0;
          await this.#giveUp(client, rebuild, message, error instanceof DifferentError ? error.found : []);
          continue;
        }
        if (error instanceof OffsetGoneError || error instanceof BeginAnewError) await startOver(client, rebuild.id);
        await noteReason(client, rebuild.id, message);
        await pause(this.#options.retryMs ?? RETRY_MS, signal);
      }
    }
  }

  async #giveUp(
    client: ClientBase,
    rebuild: OpenRebuild,
    reason: string,
    found: readonly ProjectionDifference[],
  ): Promise<void> {
    await inTransaction(client, async () => {
      await finish(client, rebuild.id, 'failed', { reason, differences: found });
      await dropShadow(client, { name: rebuild.projection });
    });
  }

  /** Until it is swapped; returns early when the term is over. */
  async #rebuild(client: ClientBase, rebuild: OpenRebuild, signal: AbortSignal): Promise<void> {
    const projection = this.#options.projections.find(({ name }) => name === rebuild.projection) as Projection;
    const missing = await this.#options.bounds.truncated();
    if (missing !== undefined) throw new RebuildRefusedError(missing);
    await this.#prepare(client, rebuild, projection);
    const isSameVersion = (await countedVersions(client)).get(projection.name) === projection.version;
    const mustAgree = isSameVersion && !rebuild.acceptDifferences;
    const run: Run = { client, id: rebuild.id, projection, mustAgree, found: undefined, reason: null, signal };
    for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, LOCK_PAUSE_MS_MAX)) {
      do {
        if (signal.aborted) return;
      } while ((await this.#catchUp(run)) > CLOSE_RECORDS);
      // What came meanwhile is compared in the same way, so that little is left for when the locks are held.
      const compare = async () => {
        await this.#compare(run);
        await noteChanges(client, projection);
      };
      await inTransaction(client, compare, 'begin isolation level repeatable read');
      if (signal.aborted) return;
      const blocked = await blockers(client, projection.tables, BLOCKER_MS);
      if (blocked === undefined && (await this.#complete(run))) return;
      run.reason = `The swap waits for locks: ${blocked ?? (await blockers(client, projection.tables)) ?? 'of short transactions'}`;
      await noteReason(client, run.id, run.reason);
      await pause(pauseMs, signal);
    }
  }

  /** An empty shadow copy, or the one of whoever stopped half-way, if it was counted by this version. */
  async #prepare(client: ClientBase, { id, version, state }: OpenRebuild, projection: Projection): Promise<void> {
    await inTransaction(client, async () => {
      const found = state === 'reading' && version === projection.version;
      const offsets = found ? await shadowOffsets(client, projection) : undefined;
      if (offsets === undefined) await createShadow(client, projection);
      else await ignoreChanges(client, projection);
      let read = 0n;
      for (const { nextOffset } of offsets?.values() ?? []) read += nextOffset;
      await beginReading(client, id, projection.version, read);
    });
    this.#logger.log(`${projection.name} is rebuilt, as version ${projection.version}.`);
  }

  /** Reads up to where the live copy is now; returns how many records it has gone on by meanwhile. */
  async #catchUp(run: Run): Promise<bigint> {
    const { client, id, signal } = run;
    const live = await this.#liveOffsets(client);
    await noteTotal(client, id, sum(live.offsets.values()));
    const shadow = await this.#shadowOffsets(run);
    await this.#read(shadow, live.offsets, signal, async (batch) => {
      await inTransaction(client, () => this.#apply(run, shadow, live.epoch, batch));
    });
    const { offsets } = await this.#liveOffsets(client);
    return sum(offsets.values()) - sum(shadow.values());
  }

  /**
   * Brings the shadow copy to where the live copy is in the caller's transaction, and compares: whole the first time, then what has
   * changed since.
   *
   * @throws DifferentError
   * @throws BeginAnewError when a record was redriven that the shadow copy left out.
   */
  async #compare(run: Run, signal = run.signal): Promise<void> {
    const { client, projection } = run;
    const live = await this.#liveOffsets(client);
    const shadow = await this.#shadowOffsets(run);
    await this.#read(shadow, live.offsets, signal, (batch) => this.#apply(run, shadow, live.epoch, batch));
    if (signal.aborted) throw new LogUnreadableError('Kafka did not give the last records in time.');
    checkMarks(live.offsets, shadow);
    await onShadow(client, projection);
    const redriven = await redrivenSince(client, this.#options.topic);
    await onLive(client);
    if (redriven > 0) throw new BeginAnewError('Records were redriven that it had left out: it begins anew.');
    const whole = () => partsOf(client, projection, [...live.offsets.keys()], this.#options.sliceBytes ?? SLICE_BYTES);
    const parts = run.found === undefined ? await whole() : (['changes'] as const);
    const { live: counted, rebuilt } = await copyTotals(client, projection, parts);
    const found = differences(counted, rebuilt);
    if (found.length > 0 && run.mustAgree) {
      this.#logger.error(`The rebuilt ${projection.name} differs: ${JSON.stringify(found)}`);
      throw new DifferentError(found);
    }
    run.found ??= found;
  }

  /** The end of it, in one transaction that holds all counting still; false when a lock is not to be had. */
  async #complete(run: Run): Promise<boolean> {
    const { client, projection, signal } = run;
    try {
      await inTransaction(client, async () => {
        await client.query(`set local lock_timeout = ${COUNTING_LOCK_MS}`);
        // All partitions, those too that nobody has begun to count.
        await client.query('lock table consumer_offsets in exclusive mode');
        await this.#compare(run, AbortSignal.any([signal, AbortSignal.timeout(LOCKED_READ_MS_MAX)]));
        await client.query(`set local lock_timeout = ${TABLES_LOCK_MS}`);
        await swap(client, projection);
        await client.query(
          `insert into projections (name, version) values ($1, $2)
           on conflict (name) do update set version = excluded.version, built_at = now()`,
          [projection.name, projection.version],
        );
        await finish(client, run.id, 'swapped', { differences: run.found ?? [] });
      });
    } catch (error) {
      if (sqlState(error) !== '55P03') throw error;
      return false;
    }
    this.#logger.log(`${projection.name} was rebuilt.`);
    return true;
  }

  async #read(
    shadow: ReadonlyMap<number, ShadowOffset>,
    to: ReadonlyMap<number, ShadowOffset>,
    signal: AbortSignal,
    onBatch: (batch: LogBatch) => Promise<void>,
  ): Promise<void> {
    const { kafka, topic } = this.#options;
    await readLog({
      kafka,
      topic,
      from: new Map([...to.keys()].map((partition) => [partition, shadow.get(partition)?.nextOffset ?? 0n])),
      to: new Map([...to].map(([partition, { nextOffset }]) => [partition, nextOffset])),
      signal,
      partitionBytesMax: 4_194_304,
      onBatch,
    });
  }

  /** Adds a batch to the shadow copy and moves its offset, in the transaction of the caller. */
  async #apply(
    run: Run,
    shadow: Map<number, ShadowOffset>,
    epoch: string | undefined,
    { partition, records, nextOffset }: LogBatch,
  ): Promise<void> {
    const { client, id, projection, reason } = run;
    const { mark, nextOffset: before } = shadow.get(partition) ?? { mark: 0n, nextOffset: 0n };
    const decisions = await decisionsAfter(client, this.#options.topic, partition, mark, 'all');
    const again = followAgain(records, { mark, epoch }, decisions);
    await onShadow(client, projection);
    if (again.apply.length > 0) await projection.apply(client as PoolClient, partition, again.apply);
    await moveShadow(client, partition, { nextOffset, mark: again.mark }, again.skipped);
    await onLive(client);
    await noteProgress(client, id, nextOffset - before, reason);
    shadow.set(partition, { nextOffset, mark: again.mark });
    // Answers and the live copy have their turns in between.
    await sleep(0);
  }

  async #liveOffsets(client: ClientBase): Promise<{ offsets: Map<number, ShadowOffset>; epoch: string | undefined }> {
    const { rows } = await client.query<{ partition: number; next_offset: bigint; mark: bigint; epoch: string | null }>(
      `select partition, next_offset, mark, epoch from consumer_offsets left join logs using (topic)
        where topic = $1 order by partition`,
      [this.#options.topic],
    );
    const offsets = new Map(
      rows.map(({ partition, next_offset: nextOffset, mark }) => [partition, { nextOffset, mark }]),
    );
    return { offsets, epoch: rows[0]?.epoch ?? undefined };
  }

  async #shadowOffsets({ client, projection }: Run): Promise<Map<number, ShadowOffset>> {
    const offsets = await shadowOffsets(client, projection);
    // Dropped by whoever forgot all that was counted.
    if (offsets === undefined) throw new RebuildGoneError('The shadow copy is gone.');
    return offsets;
  }
}

/** The chain must have led to where the live copy is, or something that it counted is not in the log any more. */
function checkMarks(live: ReadonlyMap<number, ShadowOffset>, shadow: ReadonlyMap<number, ShadowOffset>): void {
  for (const [partition, { mark }] of live) {
    const reached = shadow.get(partition)?.mark ?? 0n;
    if (reached !== mark)
      throw new RebuildRefusedError(
        `in partition ${partition} the log leads to position ${reached}, but what was counted to ${mark}: what comes between ` +
          'is missing, or lies before what it follows. `npm run recover -- --yes` publishes every event again, as a new ' +
          'log, from which everything is counted anew',
      );
  }
}

function sum(offsets: Iterable<ShadowOffset>): bigint {
  let total = 0n;
  for (const { nextOffset } of offsets) total += nextOffset;
  return total;
}

async function inTransaction<T>(client: ClientBase, work: () => Promise<T>, begin = 'begin'): Promise<T> {
  await client.query(begin);
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}
