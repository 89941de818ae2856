import { fileURLToPath } from 'node:url';
import { topology } from '@tandem/contracts/topology';
import { createDatabase, databaseUrl, migrate } from '@tandem/postgres/database';
import pg from 'pg';
import type { Config } from './config.ts';

/** Creates the role and database of analytics, with all migrations. Safe to run again, and many times at once. */
export async function setUpDatabase(config: Config): Promise<void> {
  await createDatabase(config.POSTGRES_URL, topology(config.NAMESPACE).databases.analytics);
  await migrate(analyticsUrl(config), fileURLToPath(new URL('../migrations', import.meta.url)));
}

/** The address of the database of analytics, with its own role. */
export function analyticsUrl({ POSTGRES_URL, NAMESPACE }: Config): string {
  return databaseUrl(POSTGRES_URL, topology(NAMESPACE).databases.analytics);
}

/** Forgets all that was counted, so that the log is counted again from its beginning. For a log that was begun anew. */
export async function forgetCounted(config: Config): Promise<void> {
  const client = new pg.Client({ connectionString: analyticsUrl(config) });
  await client.connect();
  try {
    await client.query(
      'truncate consumer_offsets, logs, progress, parked, order_counts, revenue_totals, revenue_by_minute',
    );
  } finally {
    await client.end();
  }
}
