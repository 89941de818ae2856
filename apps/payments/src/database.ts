import { fileURLToPath } from 'node:url';
import { topology } from '@tandem/contracts/topology';
import { createDatabase, databaseUrl, migrate } from '@tandem/postgres/database';
import type { Config } from './config.ts';

/** Creates the role and database of payments, with all migrations. Safe to run again, and many times at once. */
export async function setUpDatabase(config: Config): Promise<void> {
  await createDatabase(config.POSTGRES_URL, topology(config.NAMESPACE).databases.payments);
  await migrate(paymentsUrl(config), fileURLToPath(new URL('../migrations', import.meta.url)));
}

/** The address of the database of payments, with its own role. */
export function paymentsUrl({ POSTGRES_URL, NAMESPACE }: Config): string {
  return databaseUrl(POSTGRES_URL, topology(NAMESPACE).databases.payments);
}
