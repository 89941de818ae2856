import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { ProjectionDifference } from '@tandem/contracts/projections';
import { sqlState } from '@tandem/postgres/errors';
import { leadWheneverPossible, pause, type Term } from '@tandem/postgres/leader';
import { readLog, type LogBatch } from '@tandem/transports/kafka/read-log';
import type { ClientBase, PoolClient } from 'pg';
import type { Projection } from '../projections/projection.ts';
import { differences } from './compare.ts';
import { followAgain, RebuildRefusedError, type Parked } from './follow-again.ts';
import type { LogBounds } from './log-bounds.ts';
import {
  beginReading,
  finish,
  nextRebuild,
  noteProgress,
  noteReason,
  noteTotal,
  RebuildGoneError,
  type OpenRebuild,
} from './rebuilds.ts';
import {
  createShadow,
  dropShadow,
  moveShadow,
  onLive,
  onShadow,
  redrivenSince,
  shadowOffsets,
  swap,
  type ShadowOffset,
} from './shadow.ts';

export interface RebuilderOptions {
  /** The database of analytics. */
  url: string;
  brokers: string[];
  topic: string;
  /** The group of each reading is this, a dot, and something of its own. */
  groupPrefix: string;
  projections: readonly Projection[];
  bounds: LogBounds;
}

/** With at most this many records left to read, the live copy is made to wait for them. */
const CLOSE_RECORDS = 2_000n;
/** Tries in a row that fail before a rebuild is given up. */
const FAILURES_MAX = 30;
const RETRY_MS = 1_000;
const LOOK_MS = 500;
const TERM = { idleTimeoutMs: 10_000, heartbeatMs: 1_000, retryMs: 1_000, statementTimeoutMs: 60_000 };

/**
 * Rebuilds projections from the log while the live copies go on counting and answering. What it reads goes into a shadow copy,
 * whose offsets commit with it, so whoever comes after a crash goes on where it ended. When little is left, the partitions'
 * rows are locked, which keeps the live copy where it is; the rest is read, both copies are compared at equal offsets,
 * and the shadow takes the place of the live copy, all in one transaction.
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
        await pause(LOOK_MS, signal);
        continue;
      }
      try {
        await this.#rebuild(client, rebuild, signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        await client.query('rollback');
        if (error instanceof RebuildGoneError) continue;
        failures += 1;
        const { message } = error as Error;
        this.#logger.warn(`The rebuild of ${rebuild.projection} stopped: ${message}`);
        if (error instanceof RebuildRefusedError || failures >= FAILURES_MAX) {
          failures = 0;
          await this.#giveUp(client, rebuild, message);
        } else {
          await noteReason(client, rebuild.id, message);
          await pause(RETRY_MS, signal);
        }
      }
    }
  }

  async #giveUp(client: ClientBase, rebuild: OpenRebuild, reason: string): Promise<void> {
    await inTransaction(client, async () => {
      await finish(client, rebuild.id, 'failed', { reason });
      await dropShadow(client, { name: rebuild.projection });
    });
  }

  /** Until it is swapped or has failed; returns early when the term is over. */
  async #rebuild(client: ClientBase, rebuild: OpenRebuild, signal: AbortSignal): Promise<void> {
    const projection = this.#options.projections.find(({ name }) => name === rebuild.projection) as Projection;
    await this.#refuseTruncated();
    await this.#prepare(client, rebuild, projection);
    for (;;) {
      const left = await this.#catchUp(client, rebuild, projection, signal);
      if (signal.aborted) return;
      if (left > CLOSE_RECORDS) continue;
      const outcome = await this.#complete(client, rebuild, projection, signal);
      if (outcome === 'done') return;
      if (outcome === 'begin anew') await this.#prepare(client, { ...rebuild, state: 'waiting' }, projection);
      else await pause(RETRY_MS, signal);
      if (signal.aborted) return;
    }
  }

  async #refuseTruncated(): Promise<void> {
    const missing = await this.#options.bounds.truncated();
    if (missing !== undefined) throw new RebuildRefusedError(missing);
  }

  /** An empty shadow copy, or the one of whoever stopped half-way, if it was counted by this version. */
  async #prepare(client: ClientBase, { id, version, state }: OpenRebuild, projection: Projection): Promise<void> {
    await inTransaction(client, async () => {
      const found = state === 'reading' && version === projection.version;
      const offsets = found ? await shadowOffsets(client, projection) : undefined;
      if (offsets === undefined) await createShadow(client, projection);
      let read = 0n;
      for (const { nextOffset } of offsets?.values() ?? []) read += nextOffset;
      await beginReading(client, id, projection.version, read);
    });
    this.#logger.log(`${projection.name} is rebuilt, as version ${projection.version}.`);
  }

  /** Reads up to where the live copy is now; returns how many records it has gone on by meanwhile. */
  async #catchUp(
    client: ClientBase,
    { id }: OpenRebuild,
    projection: Projection,
    signal: AbortSignal,
  ): Promise<bigint> {
    const live = await this.#liveOffsets(client);
    await noteTotal(client, id, sum(live.offsets.values()));
    const shadow = await this.#shadowOffsets(client, projection);
    await this.#read(shadow, live.offsets, signal, async (batch) => {
      await inTransaction(client, () => this.#apply(client, id, projection, shadow, live.epoch, batch));
    });
    const { offsets } = await this.#liveOffsets(client);
    return sum(offsets.values()) - sum(shadow.values());
  }

  /** The end of it, in one transaction that holds the live copy still. */
  async #complete(
    client: ClientBase,
    rebuild: OpenRebuild,
    projection: Projection,
    signal: AbortSignal,
  ): Promise<'done' | 'begin anew' | 'again'> {
    try {
      return await inTransaction(client, async () => {
        // Queries wait behind the lock of the swap while it waits for those that are under way.
        await client.query("set local lock_timeout = '1s'");
        const live = await this.#liveOffsets(client, 'for update');
        const shadow = await this.#shadowOffsets(client, projection);
        if (sum(live.offsets.values()) - sum(shadow.values()) > 2n * CLOSE_RECORDS) return 'again';
        await this.#read(shadow, live.offsets, signal, (batch) =>
          this.#apply(client, rebuild.id, projection, shadow, live.epoch, batch),
        );
        if (signal.aborted) throw new Error('The term is over.');
        checkMarks(live.offsets, shadow);
        await onShadow(client, projection);
        if ((await redrivenSince(client, this.#options.topic)) > 0) return 'begin anew';
        const found = await this.#compare(client, projection);
        const counted = await this.#countedVersion(client, projection);
        if (found.length > 0 && counted === projection.version && !rebuild.acceptDifferences) {
          const reason = 'It says something else than the live copy of the same version: one of them is wrong.';
          await finish(client, rebuild.id, 'failed', { reason, differences: found });
          await dropShadow(client, projection);
          this.#logger.error(`The rebuilt ${projection.name} differs: ${JSON.stringify(found)}`);
          return 'done';
        }
        await swap(client, projection);
        await client.query(
          `insert into projections (name, version) values ($1, $2)
           on conflict (name) do update set version = excluded.version, built_at = now()`,
          [projection.name, projection.version],
        );
        await finish(client, rebuild.id, 'swapped', { differences: found });
        this.#logger.log(`${projection.name} was rebuilt.`);
        return 'done';
      });
    } catch (error) {
      // Somebody held a lock for too long: a query, or the live copy.
      if (sqlState(error) !== '55P03') throw error;
      return 'again';
    }
  }

  async #compare(client: ClientBase, projection: Projection): Promise<ProjectionDifference[]> {
    const rebuilt = await projection.totals(asPoolClient(client));
    await onLive(client);
    return differences(await projection.totals(asPoolClient(client)), rebuilt);
  }

  async #countedVersion(client: ClientBase, { name }: Projection): Promise<number> {
    const text = 'select version from projections where name = $1';
    const { rows } = await client.query<{ version: number }>(text, [name]);
    return rows[0]?.version ?? 0;
  }

  async #read(
    shadow: ReadonlyMap<number, ShadowOffset>,
    to: ReadonlyMap<number, ShadowOffset>,
    signal: AbortSignal,
    onBatch: (batch: LogBatch) => Promise<void>,
  ): Promise<void> {
    const { brokers, topic, groupPrefix } = this.#options;
    await readLog({
      brokers,
      clientId: 'analytics.rebuild',
      groupId: `${groupPrefix}.${randomUUID()}`,
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
    client: ClientBase,
    id: string,
    projection: Projection,
    shadow: Map<number, ShadowOffset>,
    epoch: string | undefined,
    { partition, records, nextOffset }: LogBatch,
  ): Promise<void> {
    const { mark, nextOffset: before } = shadow.get(partition) ?? { mark: 0n, nextOffset: 0n };
    const again = followAgain(records, { mark, epoch }, await this.#parked(client, partition, mark));
    await onShadow(client, projection);
    if (again.apply.length > 0) await projection.apply(asPoolClient(client), partition, again.apply);
    await moveShadow(client, partition, { nextOffset, mark: again.mark }, again.skipped);
    await onLive(client);
    await noteProgress(client, id, nextOffset - before);
    shadow.set(partition, { nextOffset, mark: again.mark });
    // Answers and the live copy have their turns in between.
    await sleep(0);
  }

  /** What became of the records after the mark that were parked. */
  async #parked(client: ClientBase, partition: number, mark: bigint): Promise<Parked> {
    const { rows } = await client.query<{
      position: bigint;
      redriven: boolean;
      offset: bigint;
      key: string | null;
      value: Buffer | null;
      headers: Record<string, string>;
      logged_at: Date;
    }>(
      `select position, settled_as is not distinct from 'redriven' as redriven, "offset", key, value, headers, logged_at
         from parked where topic = $1 and partition = $2 and position > $3`,
      [this.#options.topic, partition, mark],
    );
    const redriven = rows.filter((row) => row.redriven);
    return {
      notCounted: new Set(rows.filter((row) => !row.redriven).map(({ position }) => position)),
      redriven: new Map(
        redriven.map(({ position, offset, key, value, headers, logged_at: timestamp }) => {
          return [position, { offset, key, value, headers, timestamp }];
        }),
      ),
    };
  }

  async #liveOffsets(
    client: ClientBase,
    lock: '' | 'for update' = '',
  ): Promise<{ offsets: Map<number, ShadowOffset>; epoch: string | undefined }> {
    const { rows } = await client.query<{ partition: number; next_offset: bigint; mark: bigint }>(
      `select partition, next_offset, mark from consumer_offsets where topic = $1 order by partition ${lock}`,
      [this.#options.topic],
    );
    const offsets = new Map(
      rows.map(({ partition, next_offset: nextOffset, mark }) => [partition, { nextOffset, mark }]),
    );
    const logs = await client.query<{ epoch: string }>('select epoch from logs where topic = $1', [
      this.#options.topic,
    ]);
    return { offsets, epoch: logs.rows[0]?.epoch };
  }

  async #shadowOffsets(client: ClientBase, projection: Projection): Promise<Map<number, ShadowOffset>> {
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

/** A projection only asks its client; the connection of the leader is no pool's. */
const asPoolClient = (client: ClientBase) => client as PoolClient;

async function inTransaction<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}
