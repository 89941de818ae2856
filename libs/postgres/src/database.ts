import { runner } from 'node-pg-migrate';
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

/** Runs the SQL migrations of a folder that have not run yet; several starters wait for each other. */
export async function migrate(url: string, folder: string): Promise<void> {
  await connected(url, (dbClient) =>
    runner({
      dbClient,
      dir: folder,
      direction: 'up',
      migrationsTable: 'migrations',
      advisoryLockMode: 'wait',
      log: () => undefined,
    }),
  );
}

/** Object or database there already; 23505 and XX000 are what two creators at once meet in the catalogue itself. */
const DUPLICATE = ['42710', '42P04', '23505', 'XX000'];

async function ignoring(states: string[], work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!states.includes(sqlState(error) ?? '')) throw error;
  });
}
