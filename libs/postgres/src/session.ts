import pg from 'pg';

// bigint columns are read as bigint: positions and sums are compared as numbers and may pass 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);

/**
 * What every session has, whatever the server, the database or the role has by default: each of these changes what a statement
 * means or how its values are written, or ends it. Settings that are sent when the session begins take precedence.
 * https://www.postgresql.org/docs/17/config-setting.html#CONFIG-SETTING-SHELL
 */
const SETTINGS = {
  DateStyle: 'ISO, MDY',
  TimeZone: 'UTC',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: 1,
  search_path: 'public',
  default_transaction_isolation: 'read committed',
  statement_timeout: 0,
  lock_timeout: 0,
  idle_in_transaction_session_timeout: 0,
  idle_session_timeout: 0,
};

/** Settings of a session by their names in PostgreSQL; time-outs in milliseconds. */
export type SessionSettings = Readonly<Record<string, string | number>>;

/** How to open a session of known settings. What the address has among its `options` remains, unless it is set here. */
export function sessionConfig(address: string, settings: SessionSettings = {}): pg.ClientConfig {
  const url = new URL(address);
  const options = Object.entries({ ...SETTINGS, ...settings }).map(
    // In the options of a session a backslash keeps the space after it.
    ([name, value]) => `-c ${name}=${String(value).replaceAll(/[\\ ]/g, '\\$&')}`,
  );
  const given = url.searchParams.get('options');
  if (given !== null) options.unshift(given);
  url.searchParams.delete('options');
  return { connectionString: url.href, options: options.join(' ') };
}

/** The one time-out that PostgreSQL has since version 17 only, and that older ones refuse among the settings of a session. */
export async function endTransactionTimeout(client: pg.ClientBase): Promise<void> {
  await client.query(`select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'`);
}

/** Runs `work` on a connection of its own, without time-outs of statements. */
export async function connected<T>(address: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...sessionConfig(address), connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    await endTransactionTimeout(client);
    return await work(client);
  } finally {
    await client.end();
  }
}
