import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { topology } from '@tandem/contracts/topology';
import { connect } from 'amqplib';
import { get } from './http.testing.ts';

const RABBITMQ_URL = process.env['RABBITMQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';
const names = topology(process.env['NAMESPACE'] ?? '');

/** Puts something on the queue of commands that is parked there, and waits for it. Returns its id. */
export async function park(content: string): Promise<string> {
  // By the mark of this one it is told from what others park.
  const messageId = randomUUID();
  const connection = await connect(RABBITMQ_URL);
  try {
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue(names.queues.orderCommands, Buffer.from(content), { persistent: true, messageId });
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
  for (const end = Date.now() + 30_000; ; await pause(50)) {
    const { body } = await get('/v1/admin/parked', { service: 'orders', limit: '20' });
    for (const { id } of (body?.data ?? []) as { id: string }[])
      if ((await get(`/v1/admin/parked/${id}`)).body?.headers.messageId === messageId) return id;
    if (Date.now() > end) throw new Error(`${content} was not parked within 30 s`);
  }
}
