import { randomBytes } from 'node:crypto';
import { createDatabase, databaseUrl, dropDatabase, migrate } from './database.ts';

/** A database for one test, with a name that nobody else has. */
export interface TemporaryDatabase {
  url: string;
  drop(): Promise<void>;
}

/** Creates and migrates a database on the server of `postgresUrl`; `drop` removes it with its role. For tests. */
export async function temporaryDatabase(postgresUrl: string, migrations: string): Promise<TemporaryDatabase> {
  const name = `tandem_test_${randomBytes(6).toString('hex')}`;
  await createDatabase(postgresUrl, name);
  const url = databaseUrl(postgresUrl, name);
  await migrate(url, migrations);
  return { url, drop: () => dropDatabase(postgresUrl, name) };
}
