// limit: no framework. amqplib, and the append of orders itself (its statement, its tables, its indexes) in groups, under
// the one lock. It checks nothing, looks nothing up and cannot be repeated safely: it is what is left when all that is gone.
import { randomUUID } from 'node:crypto';
import { connect, type ConsumeMessage } from 'amqplib';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
// The limit must run the very statement that it is the limit of.
// eslint-disable-next-line @nx/enforce-module-boundaries
import { append, type Batch } from '../../../apps/orders/src/event-store/append.ts';
import type { ORDER } from './body.ts';

interface Item {
  id: number;
  commandId: string;
  body: typeof ORDER;
}

pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 4 });
const queue = process.env['QUEUE'] as string;
const connection = await connect(process.env['RABBITMQ_URL'] as string, { noDelay: true });
const channel = await connection.createChannel();
await channel.assertQueue(queue, { durable: true });
await channel.prefetch(64);

let gathered: { message: ConsumeMessage; items: Item[] }[] = [];
let running = 0;

await channel.consume(queue, (message) => {
  if (message === null) throw new Error('The consumer was cancelled.');
  gathered.push({ message, items: JSON.parse(message.content.toString()) as Item[] });
  if (gathered.length === 1) setImmediate(() => void run());
});

/** Two groups are under way at once: the database works on one while the other is decided and answered. */
async function run(): Promise<void> {
  if (running === 2) return;
  running += 1;
  while (gathered.length > 0) {
    const messages = gathered;
    gathered = [];
    const at = new Date().toISOString();
    const batch: Batch = { outcomes: [], orders: [], events: [], at };
    for (const { items } of messages) for (const item of items) add(batch, item);
    const first = await append(pool, batch);
    let position = first;
    let index = 0;
    for (const { message, items } of messages) {
      const replies = items.map(({ id }) => ({ id, order: { ...batch.orders[index++], position: position++ } }));
      channel.sendToQueue(message.properties.replyTo as string, Buffer.from(JSON.stringify(replies)));
      channel.ack(message);
    }
  }
  running -= 1;
}

function add({ outcomes, orders, events, at }: Batch, { commandId, body }: Item): void {
  const id = uuidv7();
  const lines = body.lines.map((line, index) => ({ id: index + 1, ...line }));
  const total =
    body.lines.reduce((sum, line) => sum + line.quantity * line.unitPrice, 0) +
    body.adjustments.reduce((sum, { amount }) => sum + amount, 0);
  const data = { ...body, lines, total, delivery: 'standard', payment: { method: 'card' } } as never;
  outcomes.push({ commandId, payloadHash: randomUUID(), orderId: id, version: 1, rejection: null });
  orders.push({ id, version: 1, status: 'placed', ...(data as object), refundStatus: 'none', placedAt: at } as never);
  events.push({ type: 'order.placed.v1', data, orderId: id, version: 1, at });
}
