import type { Topology } from '@tandem/contracts/topology';
import { RABBITMQ_URL } from '@tandem/transports/rabbitmq/rabbitmq.testing';
import { connect } from 'amqplib';
import { readConfig, type Config } from './config.ts';

/** Short, so that what is not answered is soon known. */
export const DEADLINE_MS = 2_000;

/** Of a gateway on a port of its own, in a namespace of the test's. */
export const settings = (namespace: string, more: Record<string, string> = {}): Config =>
  readConfig({
    RABBITMQ_URL,
    NAMESPACE: namespace,
    GATEWAY_PORT: '0',
    DEADLINE_MS: String(DEADLINE_MS),
    AFTER_WAIT_MS: '300',
    LOG_LEVEL: 'silent',
    ...more,
  });

/** Removes what gateways, and what answers them, leave on RabbitMQ. */
export async function removeQueues({ queues, exchanges }: Topology): Promise<void> {
  const connection = await connect(RABBITMQ_URL);
  const channel = await connection.createChannel();
  for (const queue of Object.values(queues)) await channel.deleteQueue(queue);
  await channel.deleteExchange(exchanges.operator);
  await connection.close();
}
