import type { Check } from '@tandem/telemetry/health';
import type { ParkedMessages } from '@tandem/transports/rabbitmq/parked-messages';
import type { Pool } from 'pg';

/** How long an event may wait to be published before readiness tells of it. */
export const UNPUBLISHED_MS_MAX = 10_000;

/** Whether what was appended is being published by a follower, whichever instance leads: orders are taken all the same. */
export async function checkPublished(pool: Pool, follower: string): Promise<Check> {
  const { rows } = await pool.query<{ position: bigint; at: Date; late: boolean }>({
    name: 'oldest-unpublished',
    text: `select position, at, at < now() - $2::integer * interval '1 millisecond' as late
             from events
            where position > coalesce((select position from followers where name = $1), 0)
            order by position limit 1`,
    values: [follower, UNPUBLISHED_MS_MAX],
  });
  const [oldest] = rows;
  if (oldest === undefined || !oldest.late) return { status: 'ok' };
  const { position, at } = oldest;
  return { status: 'degraded', reason: `what follows from position ${position} on waits since ${at.toISOString()}` };
}

/** Whether messages were taken off their queue that nobody could read or run: somebody has to look. */
export async function checkParked(parked: ParkedMessages): Promise<Check> {
  const count = await parked.waiting();
  return count === 0 ? { status: 'ok' } : { status: 'degraded', reason: `${count} parked` };
}
