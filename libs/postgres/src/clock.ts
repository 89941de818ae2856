import type { Pool } from 'pg';

/**
 * The time of another host, by the monotonic clock of this process: no adjustment of this host's clock moves it. Each exchange
 * bounds the difference from both sides, because the other's time was read between sending and receiving; what bounds of
 * several exchanges have in common is more exact than any of them. (Marzullo's intersection, of one source over time:
 * https://datatracker.ietf.org/doc/html/rfc5905#section-11.2.1.)
 */
export class MeasuredClock {
  /** Between these lies what must be added to `performance.now()`. */
  #low = -Infinity;
  #high = Infinity;
  #measuredAt = 0;
  #last = -Infinity;

  /** @param remoteMs the other's time, read between `sentAt` and `receivedAt`, which are of `performance.now()`. */
  learn(sentAt: number, receivedAt: number, remoteMs: number): void {
    const drift = Math.max(0, receivedAt - this.#measuredAt) * DRIFT_MAX;
    const low = Math.max(this.#low - drift, remoteMs - receivedAt);
    const high = Math.min(this.#high + drift, remoteMs - sentAt);
    // Nothing in common: the other's clock was set, or the other is another one.
    [this.#low, this.#high] = low <= high ? [low, high] : [remoteMs - receivedAt, remoteMs - sentAt];
    this.#measuredAt = receivedAt;
  }

  /** Whether anything is known. */
  get isMeasured(): boolean {
    return this.#high < Infinity;
  }

  /**
   * The other's time in milliseconds since 1970. It does not go back by less than a second, so that what follows each other
   * here is dated so, too.
   */
  nowMs(): number {
    const now = (this.#low + this.#high) / 2 + performance.now();
    if (this.#last - now > BACKWARDS_MS_MAX || now > this.#last) this.#last = now;
    return this.#last;
  }

  /** The earliest that the other's time may be, in milliseconds since 1970. */
  earliestMs(): number {
    return this.#low + performance.now();
  }

  /** The latest that the other's time may be, in milliseconds since 1970. */
  latestMs(): number {
    return this.#high + performance.now();
  }

  /** By how much the clock of this host is surely behind the other's, or ahead of it if negative, in milliseconds. */
  behindMs(): number {
    const host = Date.now() - performance.now();
    return Math.max(0, this.#low - host) + Math.min(0, this.#high - host);
  }

  /** A sentence for a health check when the clocks differ by more than a second. */
  get difference(): string | undefined {
    const behindMs = this.isMeasured ? this.behindMs() : 0;
    if (Math.abs(behindMs) <= DIFFERENCE_MS_MAX) return undefined;
    const seconds = Math.round(Math.abs(behindMs) / 100) / 10;
    return `this host's clock is ${seconds} s ${behindMs > 0 ? 'behind' : 'ahead of'} the database's`;
  }
}

/** Twice as fast as NTP slews a clock: https://datatracker.ietf.org/doc/html/rfc5905#section-11.3 */
const DRIFT_MAX = 0.001;
const BACKWARDS_MS_MAX = 1_000;
const DIFFERENCE_MS_MAX = 1_000;

/** Why a database takes no changes, if it takes none; `clock` learns its time. One statement. */
export async function lookAtDatabase(pool: Pool, clock: MeasuredClock): Promise<string | undefined> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    const sentAt = performance.now();
    const { rows } = await client.query<{ ms: number; standby: boolean; readonly: string }>(
      `select extract(epoch from clock_timestamp())::float8 * 1000 as ms, pg_is_in_recovery() as standby,
              current_setting('transaction_read_only') as readonly`,
    );
    const [row] = rows;
    if (row === undefined) throw new Error('The database did not say what time it is');
    clock.learn(sentAt, performance.now(), row.ms);
    if (row.standby) return 'the database is a standby, which takes no changes';
    return row.readonly === 'on' ? 'the database is read-only' : undefined;
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    client.release(failure);
  }
}
