import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { PG_MIGRATE_LOCK_ID, runner, type MigrationBuilder } from 'node-pg-migrate';
import pg from 'pg';
import { sqlState } from './errors.ts';
import { connected } from './session.ts';

/**
 * The address of one database on the server of `postgresUrl`: the same host, port and password; the database and its role
 * share a name.
 */
export function databaseUrl(postgresUrl: string, database: string): string {
  const url = new URL(postgresUrl);
  url.username = database;
  url.pathname = `/${database}`;
  return url.href;
}

/**
 * Creates a role and a database that it owns, unless they are there. Safe to run many times at once.
 *
 * @param postgresUrl a login that may create roles and databases.
 */
export async function createDatabase(postgresUrl: string, database: string): Promise<void> {
  const name = pg.escapeIdentifier(database);
  await connected(postgresUrl, async (client) => {
    const password = decodeURIComponent(new URL(postgresUrl).password);
    const secret = password === '' ? '' : `password ${pg.escapeLiteral(password)}`;
    await ignoring(DUPLICATE, client.query(`create role ${name} login ${secret}`));
    // A server's own superuser must be a member of the role before it can give it a database, from PostgreSQL 16 on.
    await ignoring(DUPLICATE, client.query(`grant ${name} to current_user`));
    const found = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (found.rowCount === 0) await ignoring(DUPLICATE, client.query(`create database ${name} owner ${name}`));
  });
}

/** Drops a database, whoever is connected to it, and its role. */
export async function dropDatabase(postgresUrl: string, database: string): Promise<void> {
  const name = pg.escapeIdentifier(database);
  await connected(postgresUrl, async (client) => {
    await client.query(`drop database if exists ${name} with (force)`);
    await client.query(`drop role if exists ${name}`);
  });
}

/**
 * Runs the SQL migrations of a folder that have not run yet, each in a transaction; several starters wait for each other. A file
 * that does something `concurrently` runs outside of a transaction, statement by statement, and from its beginning when it broke.
 */
export async function migrate(url: string, folder: string): Promise<void> {
  await connected(url, (dbClient) =>
    locked(dbClient, () =>
      runner({
        dbClient,
        dir: folder,
        direction: 'up',
        migrationsTable: 'migrations',
        migrationLoaderStrategies: [{ extensions: ['.sql'], loader: (paths) => Promise.all(paths.map(migrationOf)) }],
        noLock: true,
        log: () => undefined,
      }),
    ),
  );
}

/** Waits without a statement: `create index concurrently` waits for the end of all statements, also of one that waits for it. */
async function locked<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  const text = 'select pg_try_advisory_lock($1) as locked';
  while (!(await client.query<{ locked: boolean }>(text, [PG_MIGRATE_LOCK_ID])).rows[0]?.locked)
    await pause(LOCK_PAUSE_MS);
  try {
    return await work();
  } finally {
    await client.query('select pg_advisory_unlock($1)', [PG_MIGRATE_LOCK_ID]);
  }
}

const LOCK_PAUSE_MS = 50;

async function migrationOf(path: string) {
  const [, up, down] = (await readFile(path, 'utf8')).split(/^--\s*(?:up|down) migration.*$/im);
  if (up === undefined) throw new Error(`${path} has no line "-- Up Migration".`);
  const actions = { up: running(up), down: down === undefined ? (false as const) : running(down) };
  return { id: path, filePaths: [path], actions };
}

const running = (sql: string) => (builder: MigrationBuilder) => {
  const statements = sql.replaceAll(/^\s*--.*$/gm, '');
  if (!/\bconcurrently\b/i.test(statements)) return builder.sql(sql);
  builder.noTransaction();
  for (const statement of statements.split(/;\s*$/m)) if (statement.trim() !== '') builder.sql(statement);
};

/** Object or database there already; 23505 and XX000 are what two creators at once meet in the catalogue itself. */
const DUPLICATE = ['42710', '42P04', '23505', 'XX000'];

async function ignoring(states: string[], work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!states.includes(sqlState(error) ?? '')) throw error;
  });
}
