import { connect } from 'amqplib';
import { Kafka, logLevel, Partitioners, type Admin, type Message } from 'kafkajs';
import pg from 'pg';
import { setUp } from './services.testing.ts';
import type { System } from './system.testing.ts';
import { until } from './waiting.testing.ts';

// A hand on the log itself and on the databases, past every service.

/** A plain client of the system's Kafka. */
export function kafkaOf({ environment: { KAFKA_BROKERS = '' } }: System): Kafka {
  return new Kafka({ brokers: KAFKA_BROKERS.split(','), logLevel: logLevel.NOTHING, retry: { retries: 10 } });
}

export const topicOf = (system: System, name: string) => `${system.environment['NAMESPACE']}.${name}`;

/** Something done as an administrator of Kafka. */
export async function administer<T>(system: System, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafkaOf(system).admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Deletes the topic of events with all that it holds; the setup makes it anew, empty. */
export async function loseLog(system: System): Promise<void> {
  const topic = topicOf(system, 'order.events');
  await administer(system, async (admin) => {
    await admin.deleteTopics({ topics: [topic] });
    await until('the topic is gone', async () => !(await admin.listTopics()).includes(topic));
  });
  await setUp(system.environment);
}

/** Puts records straight into the log. */
export async function produce(system: System, messages: Message[]): Promise<void> {
  const producer = kafkaOf(system).producer({ allowAutoTopicCreation: false });
  await producer.connect();
  try {
    await producer.send({ topic: topicOf(system, 'order.events'), messages });
  } finally {
    await producer.disconnect();
  }
}

/** Puts a message straight on a queue. */
export async function send(system: System, queue: string, content: string): Promise<void> {
  const connection = await connect(system.servers.rabbitmq.address);
  try {
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue(topicOf(system, queue), Buffer.from(content), { persistent: true });
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}

const partitioner = Partitioners.DefaultPartitioner();

/** The partition of a key in a topic of six. */
export function partitionOf(key: string): number {
  const partitionMetadata = Array.from({ length: 6 }, (_, partitionId) => {
    return { partitionId, partitionErrorCode: 0, leader: 0, replicas: [], isr: [] };
  });
  return partitioner({ topic: '', partitionMetadata, message: { key, value: null } });
}

/** A connection to a service's own database, closed by the caller. */
export async function databaseOf(
  { environment }: System,
  service: 'orders' | 'payments' | 'analytics',
): Promise<pg.Client> {
  const url = new URL(environment['POSTGRES_URL'] ?? '');
  url.pathname = `/${environment['NAMESPACE']}_${service}`;
  const client = new pg.Client(url.href);
  await client.connect();
  return client;
}
