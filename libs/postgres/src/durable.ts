import type { Pool, PoolClient } from 'pg';
import { transaction } from './transaction.ts';

/**
 * The commit was answered, with a warning: it is on this server, perhaps not on its synchronous standby. PostgreSQL
 * answers success when it gives up waiting for the standby, so the warning is all there is.
 * https://www.postgresql.org/docs/17/warm-standby.html#SYNCHRONOUS-REPLICATION-HA
 */
export class UncertainCommitError extends Error {
  override name = 'UncertainCommitError';
}

/** Runs one statement that commits by itself; throws UncertainCommitError when its commit was answered with a warning. */
export async function durably<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    return await withoutWarning(client, () => work(client));
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    // After an error it is not worth telling a good connection from a broken one: the pool makes another.
    client.release(failure);
  }
}

/** `transaction`, but for UncertainCommitError when its commit was answered with a warning. */
export function durableTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  let warning: Error | undefined;
  let heard: PoolClient | undefined;
  const hear = (notice: Notice) => (warning ??= uncertain(notice));
  return transaction(pool, async (client) => {
    heard = client.on('notice', hear);
    return work(client);
  }).then(
    (result) => {
      heard?.off('notice', hear);
      if (warning !== undefined) throw warning;
      return result;
    },
    (error: unknown) => {
      heard?.off('notice', hear);
      throw error;
    },
  );
}

/**
 * Makes what this server has committed as durable as a commit of one's own: before an answer that goes by stored rows. A row may
 * be seen whose own commit gave up waiting for the synchronous standby; the commit of this statement waits for the standby,
 * too, which has everything before it then. Without a synchronous standby it writes nothing. What a standby itself shows is on
 * two servers already.
 *
 * @throws UncertainCommitError when the standby does not have it within three seconds.
 */
export async function confirmStored(pool: Pool): Promise<void> {
  await durably(pool, async (client) => {
    let late = false;
    // No time-out of the server ends the wait of a commit: left alone, each of them would keep its connection there.
    const timer = setTimeout(() => {
      late = true;
      const { processID } = client as unknown as { processID: number };
      pool.query('select pg_cancel_backend($1)', [processID]).catch(() => undefined);
    }, CONFIRM_MS_MAX);
    try {
      // The commit of a mere new transaction id does not wait: https://doxygen.postgresql.org/xact_8c_source.html, wrote_xlog.
      await client.query(`select pg_logical_emit_message(true, 'tandem', '')
                           where current_setting('synchronous_standby_names') <> '' and not pg_is_in_recovery()`);
    } finally {
      clearTimeout(timer);
    }
    // The cancellation may still be under way, so this connection is not for anybody else.
    if (late) throw new UncertainCommitError('The synchronous standby did not answer in time.');
  });
}

const CONFIRM_MS_MAX = 3_000;

type Notice = { code?: string | undefined; message?: string | undefined };

/** The severity is in the language of the server, the code is not: `00000` is that of notices and below. */
const uncertain = ({ code, message }: Notice) =>
  code === '00000' ? undefined : new UncertainCommitError(message ?? 'The commit was answered with a warning.');

async function withoutWarning<T>(client: PoolClient, work: () => Promise<T>): Promise<T> {
  let warning: Error | undefined;
  const hear = (notice: Notice) => (warning ??= uncertain(notice));
  client.on('notice', hear);
  try {
    const result = await work();
    if (warning !== undefined) throw warning;
    return result;
  } finally {
    client.off('notice', hear);
  }
}
