import type { Pool, PoolClient } from 'pg';
import { isConnectionLost } from './errors.ts';

/**
 * Runs `work` in one READ COMMITTED transaction on a connection of its own: commits what it returns, rolls back what it
 * throws. A connection that broke, or whose rollback failed, is thrown away rather than handed to the next caller.
 */
export async function transaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
  begin = 'begin isolation level read committed',
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    if (isConnectionLost(error)) broken = error as Error;
    else await client.query('rollback').catch((failure: Error) => (broken = failure));
    throw error;
  } finally {
    client.release(broken);
  }
}
