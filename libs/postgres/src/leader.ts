import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { connectionOptions } from './pool.ts';
import { endTransactionTimeout } from './session.ts';

export interface LeadershipOptions {
  url: string;
  /** What is led: one leader per name in one database. */
  name: string;
  /** A leader that says nothing for this long (stopped, cut off) is deposed by the server. */
  idleTimeoutMs: number;
  /** How often the leader shows that it lives; well below `idleTimeoutMs`. */
  heartbeatMs: number;
  /** How often a standby asks again. */
  retryMs: number;
  statementTimeoutMs: number;
  /** As in `PoolOptions`. */
  commitsAsynchronously?: boolean;
  /** Ends the term of whoever leads now, instead of waiting for its end. */
  deposes?: boolean;
}

/** A term of leadership: a session lock and the one connection that holds it. */
export interface Term {
  /** What only the leader may write goes over this connection: a deposed leader has lost it. */
  readonly client: pg.Client;
  /** Aborted when the term is over, whoever ended it. */
  readonly signal: AbortSignal;
}

/**
 * Leads whenever nobody else does: waits for the session lock of `name`, runs `lead` for the term, and starts over when the
 * term ends or `lead` returns or throws. Lock, heartbeat and the leader's writes share one direct connection (no pooler in
 * between), so whoever lost the lock cannot write. Resolves once `stop` is aborted and the term has been given up.
 *
 * @param onFailure told why a term, or the attempt at one, ended; the next attempt follows after `retryMs`.
 */
export async function leadWheneverPossible(
  options: LeadershipOptions,
  stop: AbortSignal,
  lead: (term: Term) => Promise<void>,
  onFailure: (error: Error) => void,
): Promise<void> {
  while (!stop.aborted) {
    await serveOneTerm(options, stop, lead).catch(onFailure);
    await pause(options.retryMs, stop);
  }
}

async function serveOneTerm(
  options: LeadershipOptions,
  stop: AbortSignal,
  lead: (term: Term) => Promise<void>,
): Promise<void> {
  const client = new pg.Client(
    connectionOptions({
      ...options,
      connectTimeoutMs: 5_000,
      lockTimeoutMs: options.statementTimeoutMs,
      idleInTransactionTimeoutMs: options.idleTimeoutMs,
      settings: { idle_session_timeout: options.idleTimeoutMs },
    }),
  );
  const over = new AbortController();
  const end = () => over.abort();
  client.on('error', end);
  client.on('end', end);
  stop.addEventListener('abort', end, { once: true });
  const heartbeat = setInterval(() => client.query('select 1').catch(end), options.heartbeatMs);
  try {
    await client.connect();
    await endTransactionTimeout(client);
    while (!(await lock(client, options.name))) {
      if (options.deposes === true) await depose(client, options.name);
      await pause(options.retryMs, over.signal);
      if (over.signal.aborted) return;
    }
    await lead({ client, signal: over.signal });
  } finally {
    clearInterval(heartbeat);
    stop.removeEventListener('abort', end);
    over.abort();
    // Closing the connection gives the lock back; a server that does not answer any more cannot hold up the next attempt.
    await Promise.race([client.end().catch(() => undefined), setTimeout(2_000, undefined, { ref: false })]);
  }
}

/** A session lock of two keys, apart from the one-key lock of the appends. */
async function lock(client: pg.Client, name: string): Promise<boolean> {
  const text = 'select pg_try_advisory_lock(77, hashtext($1)) as locked';
  const { rows } = await client.query<{ locked: boolean }>(text, [name]);
  return rows[0]?.locked === true;
}

/** Ends the connection that holds the lock, and the lock with it. Both must log in with the same role. */
async function depose(client: pg.Client, name: string): Promise<void> {
  // Of a lock of two keys `pg_locks` shows the first as classid, the second as objid, unsigned.
  await client.query(
    `select pg_terminate_backend(pid) from pg_locks
      where locktype = 'advisory' and granted and objsubid = 2 and classid = 77
        and objid = (hashtext($1)::bigint & 4294967295)::oid
        and database = (select oid from pg_database where datname = current_database())`,
    [name],
  );
}

/** Resolves after `ms` milliseconds, or at once when `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = globalThis.setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
