import pg from 'pg';
import { endTransactionTimeout, sessionConfig, type SessionSettings } from './session.ts';

export interface PoolOptions {
  /** `postgres://user:password@host:port/database` */
  url: string;
  /** Shown in `pg_stat_activity`. */
  name: string;
  connectionsMax: number;
  /** How long to wait for a connection, a new one or a free one. */
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  idleInTransactionTimeoutMs: number;
  /**
   * Commits answer before they are on disk: a crash of the server may lose the last half second of them, never a part of one
   * and never an earlier one without the later ones. Only for what can be worked out again from elsewhere.
   */
  commitsAsynchronously?: boolean;
  /**
   * Statements are sent at once, not when the one before was answered. Whoever sends several waits for all of them before
   * ending the transaction: one that is sent after a rollback would commit by itself.
   */
  pipelined?: boolean;
  /** Further settings of each session, by their names in PostgreSQL. */
  settings?: SessionSettings;
  /** Told when the server drops an idle connection; the pool replaces it by itself. */
  onIdleError: (error: Error) => void;
}

/** The settings of one connection, with the time-outs on the server too: a client that hangs must not keep a lock. */
export function connectionOptions(options: Omit<PoolOptions, 'connectionsMax' | 'onIdleError'>): pg.ClientConfig {
  return {
    ...sessionConfig(options.url, {
      statement_timeout: options.statementTimeoutMs,
      lock_timeout: options.lockTimeoutMs,
      idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs,
      ...(options.commitsAsynchronously === true ? { synchronous_commit: 'off' } : {}),
      ...options.settings,
    }),
    application_name: options.name,
    connectionTimeoutMillis: options.connectTimeoutMs,
    // The server's own time-outs do not run while it is stopped: this one notices, a little later.
    query_timeout: options.statementTimeoutMs + 500,
    keepAlive: true,
    pipeline: options.pipelined === true,
  };
}

/** A pool of connections with a limit on everything. It never throws outside a call: idle errors go to `onIdleError`. */
export function createPool(options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    ...connectionOptions(options),
    max: options.connectionsMax,
    onConnect: endTransactionTimeout,
    idleTimeoutMillis: 60_000,
  });
  pool.on('error', options.onIdleError);
  // A checked-out client that loses its connection while no query runs emits too, and unheard it would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}
