import type { Pool, PoolClient } from 'pg';
import { isConnectionLost, isValueRefused } from './errors.ts';

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

/**
 * Runs the first of several ways whose values are not refused, each from where the transaction stood before, and told why the
 * one before it was refused.
 */
export async function firstAccepted<T>(
  client: PoolClient,
  ways: readonly ((refusal: string) => Promise<T>)[],
): Promise<T> {
  await client.query('savepoint way');
  let refusal = '';
  for (const [index, way] of ways.entries())
    try {
      const result = await way(refusal);
      await client.query('release savepoint way');
      return result;
    } catch (error) {
      if (!isValueRefused(error) || index === ways.length - 1) throw error;
      refusal = (error as Error).message;
      await client.query('rollback to savepoint way');
    }
  throw new RangeError('There is no way.');
}
