import { connect } from 'amqplib';

const RABBITMQ_URL = process.env['RABBITMQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';

/** How many messages wait on each queue, and how many consumers it has. */
export async function checkQueues(names: readonly string[]): Promise<{ messages: number; consumers: number }[]> {
  const connection = await connect(RABBITMQ_URL);
  try {
    const channel = await connection.createChannel();
    const checked = await Promise.all(names.map((name) => channel.checkQueue(name)));
    return checked.map(({ messageCount, consumerCount }) => ({ messages: messageCount, consumers: consumerCount }));
  } finally {
    await connection.close();
  }
}
