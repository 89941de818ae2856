import { randomBytes } from 'node:crypto';
import { createDatabase, databaseUrl, dropDatabase, migrate } from './database.ts';
import { connected } from './session.ts';

/** A database for one test, with a name that nobody else has. */
export interface TemporaryDatabase {
  url: string;
  drop(): Promise<void>;
}

/**
 * Creates and migrates a database on the server of `postgresUrl`; `drop` removes it with its role. For tests, which all run with
 * defaults that would break whatever does not set its own.
 */
export async function temporaryDatabase(postgresUrl: string, migrations: string): Promise<TemporaryDatabase> {
  const name = `tandem_test_${randomBytes(6).toString('hex')}`;
  await createHostileDatabase(postgresUrl, name);
  const url = databaseUrl(postgresUrl, name);
  await migrate(url, migrations);
  return { url, drop: () => dropDatabase(postgresUrl, name) };
}

/**
 * `createDatabase`, with defaults of the database and of its role under which a session reads and writes something else, or is
 * soon ended. For tests.
 */
export async function createHostileDatabase(postgresUrl: string, database: string): Promise<void> {
  await createDatabase(postgresUrl, database);
  const settings = {
    DateStyle: 'German, DMY',
    TimeZone: 'America/New_York',
    IntervalStyle: 'sql_standard',
    bytea_output: 'escape',
    extra_float_digits: '-15',
    search_path: 'nowhere',
    default_transaction_isolation: 'serializable',
    statement_timeout: '1ms',
    lock_timeout: '1ms',
    idle_in_transaction_session_timeout: '1ms',
    idle_session_timeout: '1ms',
    // Long enough for the statement that ends it.
    transaction_timeout: '500ms',
  };
  await connected(postgresUrl, async (client) => {
    const { rows } = await client.query<{ statement: string }>(
      // Not every version has all of them.
      `select format('alter %s %I set %I to %L', target, $1::text, key, value) as statement
         from json_each_text($2::json), unnest(array['database', 'role']) as target
        where key in (select name from pg_settings)`,
      [database, settings],
    );
    for (const { statement } of rows) await client.query(statement);
  });
}
