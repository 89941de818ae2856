import { randomUUID } from 'node:crypto';
import { ClientProxyFactory, Transport } from '@nestjs/microservices';
import { EventHeaders } from '@tandem/contracts/event-record';
import type { CommandReply } from '@tandem/contracts/order-commands';
import { eventDataSchema } from '@tandem/contracts/order-events';
import { ORDER_COMMANDS, topology } from '@tandem/contracts/topology';
import { connect } from 'amqplib';
import { Kafka, logLevel, type KafkaMessage } from 'kafkajs';
import { firstValueFrom, timeout } from 'rxjs';
import { get, newCustomer, placed, post, smallestOrder } from './http.testing.ts';

// Anybody may talk to the services without this repository's code: these clients are the stock ones.

const RABBITMQ_URL = process.env['RABBITMQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';
const KAFKA_BROKERS = (process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092').split(',');
const names = topology(process.env['NAMESPACE'] ?? '');

/** What the answer says was placed is what HTTP shows. */
async function expectPlaced(reply: CommandReply, customerId: string): Promise<void> {
  if (reply.outcome !== 'accepted') throw new Error(`Refused: ${JSON.stringify(reply)}`);
  expect(reply.order).toMatchObject({ status: 'placed', customerId, total: 2500 });
  expect((await get(`/v1/orders/${reply.order.id}`)).body).toEqual(reply.order);
}

it('a stock Nest ClientRMQ places an order', async () => {
  const client = ClientProxyFactory.create({
    transport: Transport.RMQ,
    options: { urls: [RABBITMQ_URL], queue: names.queues.orderCommands, queueOptions: { durable: true } },
  });
  try {
    const customerId = newCustomer();
    const message = { commandId: randomUUID(), body: smallestOrder(customerId) };
    const send = () => firstValueFrom(client.send<CommandReply>(ORDER_COMMANDS.place, message).pipe(timeout(10_000)));
    const reply = await send();
    await expectPlaced(reply, customerId);
    expect(await send()).toEqual({ ...reply, replayed: true });
  } finally {
    await client.close();
  }
});

it('plain amqplib places an order', async () => {
  const connection = await connect(RABBITMQ_URL);
  try {
    const channel = await connection.createChannel();
    const customerId = newCustomer();
    const correlationId = randomUUID();
    const answer = new Promise<string>((resolve, reject) => {
      setTimeout(() => reject(new Error('No answer within 10 s')), 10_000).unref();
      channel
        .consume('amq.rabbitmq.reply-to', (message) => message && resolve(message.content.toString()), { noAck: true })
        .then(() => {
          const data = { commandId: randomUUID(), body: smallestOrder(customerId) };
          const content = Buffer.from(JSON.stringify({ pattern: ORDER_COMMANDS.place, data, id: correlationId }));
          channel.sendToQueue(names.queues.orderCommands, content, { replyTo: 'amq.rabbitmq.reply-to', correlationId });
        })
        .catch(reject);
    });
    await expectPlaced(JSON.parse(await answer).response, customerId);
  } finally {
    await connection.close();
  }
});

it("a plain kafkajs consumer reads an order's events from the beginning, in order, as CloudEvents", async () => {
  const order = await placed(smallestOrder(newCustomer()));
  expect((await post(`/v1/orders/${order.id}/cancel`, { reason: 'Ordered twice' })).status).toBe(200);

  const groupId = `e2e-${randomUUID()}`;
  const kafka = new Kafka({ brokers: KAFKA_BROKERS, clientId: groupId, logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 });
  const mine: { partition: number; message: KafkaMessage }[] = [];
  try {
    await consumer.connect();
    await consumer.subscribe({ topic: names.topics.orderEvents, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`Only ${mine.length} of 2 events within 40 s`)), 40_000);
      consumer
        .run({
          eachMessage: async ({ partition, message }) => {
            if (message.key?.toString() !== order.id) return;
            if (mine.push({ partition, message }) < 2) return;
            clearTimeout(timer);
            resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    await consumer.disconnect();
    const admin = kafka.admin();
    await admin.connect();
    await admin.deleteGroups([groupId]);
    await admin.disconnect();
  }

  expect(new Set(mine.map(({ partition }) => partition)).size).toBe(1);
  const recorded = (await get(`/v1/orders/${order.id}/events`)).body.data;
  const read = mine.map(({ message }) => {
    const texts = Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]);
    const headers = EventHeaders.parse(Object.fromEntries(texts));
    const data = JSON.parse(String(message.value)) as unknown;
    expect(eventDataSchema(headers.ce_type)?.parse(data)).toEqual(data);
    expect(headers.prev).toBeLessThan(headers.position);
    return {
      position: Number(headers.position),
      orderId: headers.ce_subject,
      version: headers.version,
      type: headers.ce_type,
      time: headers.ce_time,
      data,
    };
  });
  expect(read).toEqual(recorded);
}, 90_000);
