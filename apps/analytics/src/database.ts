import { fileURLToPath } from 'node:url';
import { topology } from '@tandem/contracts/topology';
import { createDatabase, databaseUrl, migrate } from '@tandem/postgres/database';
import pg from 'pg';
import type { Config } from './config.ts';
import { PROJECTIONS } from './projections/projections.ts';

/** Creates the role and database of analytics, with all migrations. Safe to run again, and many times at once. */
export async function setUpDatabase(config: Config): Promise<void> {
  await createDatabase(config.POSTGRES_URL, topology(config.NAMESPACE).databases.analytics);
  await migrate(analyticsUrl(config), fileURLToPath(new URL('../migrations', import.meta.url)));
}

/** The address of the database of analytics, with its own role. */
export function analyticsUrl({ POSTGRES_URL, NAMESPACE }: Config): string {
  return databaseUrl(POSTGRES_URL, topology(NAMESPACE).databases.analytics);
}

/** The tables of what was counted, and of how far. */
export const COUNTED_TABLES: readonly string[] = [
  'consumer_offsets',
  'logs',
  'progress',
  'parked',
  ...PROJECTIONS.flatMap(({ tables }) => tables),
];

/** Forgets all that was counted, so that the log is counted again from its beginning. For a log that was begun anew. */
export async function forgetCounted(config: Config): Promise<void> {
  const client = new pg.Client({ connectionString: analyticsUrl(config) });
  await client.connect();
  try {
    await client.query(`truncate ${COUNTED_TABLES.join(', ')}`);
  } finally {
    await client.end();
  }
}
