import { Logger } from '@nestjs/common';
import type { LogCheckpoint } from '@tandem/contracts/event-record';
import type { Pool, PoolClient } from 'pg';
import { searchFromBeginning } from '../consumer/offsets.ts';
import { Checkpoints } from './checkpoints.ts';
import { Searches, type Standing } from './searches.ts';

/** How often the marks are looked up while somebody waits: other instances count too, and nobody tells of it. */
const POLL_MS = 50;
/** The most queries that wait for a position at once. */
const WAITERS_MAX = 1_000;
/** How often the position is stored while it grows. */
const STORE_MS = 1_000;

/** How far the log has been counted, by all instances together. */
export class Progress {
  readonly #logger = new Logger(Progress.name);
  readonly #pool: Pool;
  readonly #topic: string;
  readonly #checkpoints = new Checkpoints();
  readonly #searches = new Searches();
  readonly #waiters = new Set<{ position: bigint; resolve: () => void }>();
  /** The log that the two positions are of: what was counted of another says nothing about it. */
  #epoch: string | undefined;
  #position = 0n;
  #stored = 0n;
  #refreshing: Promise<void> | undefined;
  #isStale = false;
  #poll: NodeJS.Timeout | undefined;
  #storing: NodeJS.Timeout | undefined;
  #released = false;
  #closed = false;

  constructor(pool: Pool, topic: string) {
    this.#pool = pool;
    this.#topic = topic;
  }

  /** What the relay says about the log. */
  add(checkpoint: LogCheckpoint): void {
    this.#checkpoints.add(checkpoint);
    this.changed();
  }

  /** This instance has counted something. */
  changed(): void {
    if (this.#closed) return;
    if (this.#waiters.size > 0) this.#refresh();
    this.#storing ??= setTimeout(() => {
      this.#storing = undefined;
      this.#refresh();
    }, STORE_MS).unref();
  }

  /**
   * The position up to which everything is counted in the client's snapshot: what the same transaction reads holds it all.
   */
  async read(client: Pool | PoolClient): Promise<bigint> {
    return (await this.#readOf(client)).position;
  }

  async #readOf(client: Pool | PoolClient): Promise<{ position: bigint; epoch: string | undefined }> {
    const { rows } = await client.query<{
      partition: number;
      mark: bigint;
      epoch: string | null;
      stored: bigint | null;
    }>({
      name: 'read-progress',
      text: `select o.partition, o.mark, l.epoch, p.position as stored
               from consumer_offsets o left join logs l using (topic) left join progress p using (topic)
              where o.topic = $1`,
      values: [this.#topic],
    });
    const marks = new Map(rows.map(({ partition, mark }) => [partition, mark]));
    const stored = rows[0]?.stored ?? 0n;
    const epoch = rows[0]?.epoch ?? undefined;
    const reached = this.#checkpoints.reachedBy(marks, epoch);
    return { position: reached > stored ? reached : stored, epoch };
  }

  /**
   * Waits until everything up to a position is counted, but no longer than `ms`, and not at all when as many wait as may.
   * `onWait` is called when it waits.
   */
  async waitFor(position: bigint, ms: number, onWait?: () => void): Promise<void> {
    if (this.#position >= position || ms <= 0 || this.#released || this.#waiters.size >= WAITERS_MAX) return;
    onWait?.();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { position, resolve };
    const timer = setTimeout(resolve, ms);
    this.#waiters.add(waiter);
    this.#poll ??= setInterval(() => this.#refresh(), POLL_MS);
    this.#refresh();
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(waiter);
    if (this.#waiters.size > 0) return;
    clearInterval(this.#poll);
    this.#poll = undefined;
  }

  /** Why the counted log is not whole, for readiness: chains that are broken, and ends that are missing. */
  async problems(): Promise<string[]> {
    const { standings, epoch } = await this.#standings();
    const broken = standings.filter(({ gapOffset }) => gapOffset !== null);
    const problems = broken.map(({ partition, mark, gapOffset }) => {
      return (
        `partition ${partition} has a gap at offset ${gapOffset}: what comes after position ${mark} is not in the log; ` +
        'if it was deleted, run npm run recover'
      );
    });
    const newest = this.#checkpoints.newest;
    if (newest !== undefined && epoch !== undefined && newest.epoch !== epoch)
      return [
        ...problems,
        `the log is of epoch ${newest.epoch}, but what was counted is of ${epoch}: run npm run recover`,
      ];
    for (const { partition, position } of this.#missing(standings, (standing) => this.#searches.readUpTo(standing)))
      if (!broken.some((standing) => standing.partition === partition))
        problems.push(
          `partition ${partition} ends before position ${position}, which was published; ` +
            'if it was deleted, run npm run recover',
        );
    return problems;
  }

  /**
   * Has partitions read again from their beginning that were read past what was published without finding it: a log that was
   * lost and published again may hold it before the next offset, where nobody would look.
   */
  async searchMissing(): Promise<void> {
    const { standings, epoch } = await this.#standings();
    if (epoch === undefined || this.#checkpoints.newest?.epoch !== epoch) return;
    for (const { partition, position } of this.#missing(standings, ({ nextOffset }) => nextOffset)) {
      const standing = standings.find((each) => each.partition === partition);
      if (standing === undefined || !this.#searches.begin(standing, performance.now())) continue;
      this.#logger.warn(`Partition ${partition} of ${this.#topic} is searched for position ${position}.`);
      await searchFromBeginning(this.#pool, this.#topic, standing);
    }
  }

  #missing(standings: readonly Standing[], readUpTo: (standing: Standing) => bigint) {
    const marks = new Map(standings.map(({ partition, mark }) => [partition, mark]));
    const nextOffsets = new Map(standings.map((standing) => [standing.partition, readUpTo(standing)]));
    return this.#checkpoints.missing(marks, nextOffsets);
  }

  async #standings(): Promise<{ standings: (Standing & { gapOffset: bigint | null })[]; epoch: string | undefined }> {
    const { rows } = await this.#pool.query<{
      partition: number;
      mark: bigint;
      next_offset: bigint;
      gap_offset: bigint | null;
      epoch: string | null;
    }>({
      name: 'read-standings',
      text: `select o.partition, o.mark, o.next_offset, o.gap_offset, l.epoch
               from consumer_offsets o left join logs l using (topic) where o.topic = $1 order by o.partition`,
      values: [this.#topic],
    });
    const standings = rows.map(({ partition, mark, next_offset: nextOffset, gap_offset: gapOffset }) => {
      return { partition, mark, nextOffset, gapOffset };
    });
    return { standings, epoch: rows[0]?.epoch ?? undefined };
  }

  /** Lets everybody go who waits, and keeps nobody any more. */
  release(): void {
    this.#released = true;
    for (const { resolve } of this.#waiters) resolve();
  }

  /** Stores how far it has come. */
  async close(): Promise<void> {
    this.release();
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#storing);
    await this.#refreshing;
    await this.#store().catch((error: Error) => this.#logger.warn(`The position was not stored: ${error.message}`));
  }

  /** One look-up at a time; what changes meanwhile is looked up right after it. */
  #refresh(): void {
    this.#isStale = true;
    this.#refreshing ??= this.#catchUp().finally(() => (this.#refreshing = undefined));
  }

  async #catchUp(): Promise<void> {
    let storedAt = performance.now();
    while (this.#isStale && !this.#closed) {
      this.#isStale = false;
      try {
        const { position, epoch } = await this.#readOf(this.#pool);
        if (epoch !== this.#epoch) this.#position = this.#stored = 0n;
        this.#epoch = epoch;
        if (position > this.#position) this.#position = position;
        for (const { position: wanted, resolve } of this.#waiters) if (wanted <= this.#position) resolve();
        if (this.#waiters.size > 0 && performance.now() - storedAt < STORE_MS) continue;
        storedAt = performance.now();
        await this.#store();
      } catch (error) {
        // Readiness tells of a database that is away; the next change or poll looks again.
        this.#logger.debug(`The progress could not be read: ${(error as Error).message}`);
        return;
      }
    }
  }

  async #store(): Promise<void> {
    if (this.#position <= this.#stored) return;
    const position = this.#position;
    await this.#pool.query({
      name: 'store-progress',
      // Only while that log is the one that is counted.
      text: `insert into progress as p (topic, position) select topic, $2::bigint from logs where topic = $1 and epoch = $3
             on conflict (topic) do update set position = greatest(p.position, excluded.position)`,
      values: [this.#topic, position, this.#epoch],
    });
    this.#stored = position;
  }
}
