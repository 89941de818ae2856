import { lookAtDatabase, MeasuredClock } from '@tandem/postgres/clock';
import { pause } from '@tandem/postgres/leader';
import type { Check } from '@tandem/telemetry/health';
import type { Pool } from 'pg';

export interface DatabaseWatchOptions {
  pool: Pool;
  everyMs: number;
  /** How long one transaction may hold the lock of the appends before nothing counts as stored any more. */
  lockMsMax: number;
}

/** Looks at the database in the background: what time it has, whether it takes changes, and who holds the lock of the appends. */
export class DatabaseWatch {
  readonly clock = new MeasuredClock();
  readonly #options: DatabaseWatchOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #holder: { id: string; pid: number; since: number } | undefined;

  constructor(options: DatabaseWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** The time of the database. It is asked only while nothing is known of it. */
  now(): Date | Promise<Date> {
    if (this.clock.isMeasured) return new Date(this.clock.nowMs());
    return lookAtDatabase(this.#options.pool, this.clock).then(() => new Date(this.clock.nowMs()));
  }

  /** Whether commands can be stored. */
  async check(): Promise<Check> {
    const reason = await this.#look();
    return reason === undefined ? { status: 'ok' } : { status: 'unavailable', reason };
  }

  /** Whether this host's clock is the database's, by which orders are dated. */
  checkClock(): Check {
    const reason = this.clock.difference;
    return reason === undefined ? { status: 'ok' } : { status: 'degraded', reason };
  }

  async #watch(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      // Readiness looks itself, and says what fails.
      await this.#look().catch(() => undefined);
      await pause(this.#options.everyMs, this.#stop.signal);
    }
  }

  async #look(): Promise<string | undefined> {
    const { pool, lockMsMax } = this.#options;
    const readOnly = await lookAtDatabase(pool, this.clock);
    if (readOnly !== undefined) return readOnly;
    // Without the table `log` nobody has run the migrations. A lock of one key shows it as classid and objid; the holder's transaction tells one turn from the next.
    const { rows } = await pool.query<{ pid: number; transaction: string }>({
      name: 'holder-of-appends',
      text: `select pid, virtualtransaction as transaction from pg_locks
              where (select count(*) from log) >= 0 and locktype = 'advisory' and granted and classid = 0 and objid = 42 and objsubid = 1
                and database = (select oid from pg_database where datname = current_database())`,
    });
    const [holder] = rows;
    const id = holder && `${holder.pid} ${holder.transaction}`;
    if (holder === undefined || id === undefined) this.#holder = undefined;
    else if (this.#holder?.id !== id) this.#holder = { id, pid: holder.pid, since: performance.now() };
    if (this.#holder === undefined) return undefined;
    const heldMs = performance.now() - this.#holder.since;
    if (heldMs <= lockMsMax) return undefined;
    return `process ${this.#holder.pid} of the database holds the lock of the appends for ${Math.round(heldMs / 1000)} s`;
  }
}
