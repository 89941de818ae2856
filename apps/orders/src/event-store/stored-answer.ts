import type { CommandReply } from '@tandem/contracts/order-commands';
import { confirmStored } from '@tandem/postgres/durable';
import type { Pool } from 'pg';
import { decideBatch, type Command } from './decide-batch.ts';
import { load } from './load.ts';

/**
 * The answer of a command that was decided before, if it was. Nothing is decided, and no lock is waited for.
 *
 * @throws UncertainCommitError when it is not known whether the synchronous standby has it.
 */
export async function storedAnswer(pool: Pool, command: Command): Promise<CommandReply | undefined> {
  const loaded = await load(pool, { commandIds: [command.id], orderIds: [], references: [] });
  if (!loaded.outcomes.has(command.id)) return undefined;
  await confirmStored(pool);
  return decideBatch([command], loaded, new Date(0)).replies(0)[0];
}
