import type { Channel } from 'amqplib';

/** What one kind of work queues needs on a broker. */
export interface JobTopology {
  /** Direct: a job is published here, its routing key is its kind. */
  exchange: string;
  kinds: readonly string[];
  /** Headers: takes the jobs of every kind, and those that have waited, and routes by their headers. */
  byHeaders: string;
  /** Where jobs wait for a worker, the least urgent first; each takes those that carry all of its headers. */
  queues: readonly { name: string; headers: Readonly<Record<string, string>> }[];
  /** Where failed jobs wait for their next attempt, the shortest wait first. */
  retries: readonly { name: string; waitMs: number }[];
  /** Where the broker puts what was returned more often than it allows. */
  dead: string;
}

/** −1 dead-letters at once on RabbitMQ 3.10, and 4.x allows 20 unless told: neither is what a return means here. */
const DELIVERIES_MAX = 1_000_000;

/** Declares exchanges, queues and bindings, and leaves alone what is there. Quorum queues: confirmed means on the disk. */
export async function declareJobs(channel: Channel, topology: JobTopology): Promise<void> {
  const { exchange, kinds, byHeaders, queues, retries, dead } = topology;
  await channel.assertExchange(exchange, 'direct', { durable: true });
  await channel.assertExchange(byHeaders, 'headers', { durable: true });
  await channel.assertQueue(dead, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  for (const { name, headers } of queues) {
    await channel.assertQueue(name, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': DELIVERIES_MAX, ...deadLetteredTo('', dead) },
    });
    await channel.bindQueue(name, byHeaders, '', { 'x-match': 'all', ...headers });
  }
  for (const { name, waitMs } of retries)
    await channel.assertQueue(name, {
      durable: true,
      // What has waited goes back by its headers: they outlive the wait, its routing key does not.
      arguments: { 'x-queue-type': 'quorum', 'x-message-ttl': waitMs, ...deadLetteredTo(byHeaders, '') },
    });
  // Bound last: nothing is routed before it has somewhere to go.
  for (const kind of kinds) await channel.bindExchange(byHeaders, exchange, kind);
}

/** At least once: a message leaves its queue when another one has confirmed it, which needs a queue that refuses when full. */
function deadLetteredTo(exchange: string, routingKey: string) {
  return {
    'x-dead-letter-exchange': exchange,
    'x-dead-letter-routing-key': routingKey,
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}
