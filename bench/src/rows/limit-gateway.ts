// limit: no framework. Fastify and amqplib; the orders of one turn of the event loop travel in one message.
import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { fastify } from 'fastify';

const queue = process.env['QUEUE'] as string;
const socket = { noDelay: true };
const connection = await connect(process.env['RABBITMQ_URL'] as string, socket);
const channel = await connection.createChannel();
const waiting = new Map<number, (order: unknown) => void>();
let lastId = 0;
let gathered: { id: number; commandId: string; body: unknown }[] = [];

await channel.consume(
  'amq.rabbitmq.reply-to',
  (message) => {
    if (message === null) throw new Error('The reply consumer was cancelled.');
    for (const { id, order } of JSON.parse(message.content.toString()) as { id: number; order: unknown }[]) {
      waiting.get(id)?.(order);
      waiting.delete(id);
    }
  },
  { noAck: true },
);

function flush(): void {
  const batch = gathered;
  gathered = [];
  for (let start = 0; start < batch.length; start += 64) {
    const content = Buffer.from(JSON.stringify(batch.slice(start, start + 64)));
    channel.publish('', queue, content, { replyTo: 'amq.rabbitmq.reply-to' });
  }
}

const app = fastify();
app.post('/v1/orders', async (request, reply) => {
  const order = await new Promise((resolve) => {
    const id = ++lastId;
    waiting.set(id, resolve);
    if (gathered.push({ id, commandId: randomUUID(), body: request.body }) === 1) setImmediate(flush);
  });
  return reply.code(201).send(order);
});
await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' });
