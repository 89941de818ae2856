import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { topology } from '@tandem/contracts/topology';
import { createDatabase, databaseUrl, migrate } from '@tandem/postgres/database';
import { sqlState } from '@tandem/postgres/errors';
import { connected } from '@tandem/postgres/session';
import type { ClientBase } from 'pg';
import type { Config } from './config.ts';
import { PROJECTIONS } from './projections/projections.ts';
import { registerProjections } from './projections/projection-versions.ts';
import { blockers } from './rebuild/shadow.ts';

/** Creates the role and database of analytics, with all migrations. Safe to run again, and many times at once. */
export async function setUpDatabase(config: Config): Promise<void> {
  await createDatabase(config.POSTGRES_URL, topology(config.NAMESPACE).databases.analytics);
  const url = analyticsUrl(config);
  await migrate(url, fileURLToPath(new URL('../migrations', import.meta.url)));
  await connected(url, (client) => registerProjections(client, PROJECTIONS));
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

/**
 * Forgets all that was counted, so that the log is counted again from its beginning. For a log that was begun anew. Which records were
 * dropped or redriven, and as what, is kept: it holds for the new log, too. What waits is parked again by whoever cannot read it.
 */
export async function forgetCounted(config: Config): Promise<void> {
  await connected(analyticsUrl(config), async (client) => {
    for (let tries = 1; !(await forget(client)); tries += 1) {
      if (tries === FORGET_TRIES_MAX) {
        const who = (await blockers(client, COUNTED_TABLES)) ?? 'short transactions';
        throw new Error(`What was counted cannot be forgotten, and nothing was: its tables are locked by ${who}`);
      }
      await sleep(FORGET_PAUSE_MS);
    }
  });
}

/** False when others hold the locks that it needs. */
async function forget(client: ClientBase): Promise<boolean> {
  // A rebuild under way finds its row gone, and ends.
  const forgotten = [...COUNTED_TABLES.filter((table) => table !== 'parked'), 'rebuilds', 'projections'];
  try {
    // Counting and queries wait behind it.
    await client.query(`begin; set local lock_timeout = ${FORGET_LOCK_MS}`);
    await client.query(`truncate ${forgotten.join(', ')}`);
    await client.query('delete from parked where settled_as is null');
    await registerProjections(client, PROJECTIONS);
    await client.query('commit');
    return true;
  } catch (error) {
    await client.query('rollback');
    if (sqlState(error) !== '55P03') throw error;
    return false;
  }
}

const FORGET_LOCK_MS = 500;
const FORGET_PAUSE_MS = 1_000;
const FORGET_TRIES_MAX = 5;
