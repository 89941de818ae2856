import type { UnreadableMessage } from '@tandem/transports/rabbitmq/rabbitmq-server';
import type { Pool } from 'pg';

/** Keeps a message that nobody could read, as a row, before it is taken off its queue. */
export async function park(pool: Pool, { queue, reason, content, properties }: UnreadableMessage): Promise<void> {
  await pool.query({
    name: 'park-message',
    text: 'insert into parked (queue, reason, content, properties) values ($1, $2, $3, $4)',
    values: [queue, reason, content, JSON.stringify(properties)],
  });
}
