import { randomUUID } from 'node:crypto';
import { ClientProxyFactory, Transport } from '@nestjs/microservices';
import type { Order } from '@tandem/contracts/order';
import type { CommandReply } from '@tandem/contracts/order-commands';
import { ORDER_COMMANDS, topology } from '@tandem/contracts/topology';
import { firstValueFrom, timeout } from 'rxjs';
import { get, placed } from './http.testing.ts';

const RABBITMQ_URL = process.env['RABBITMQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';
const names = topology(process.env['NAMESPACE'] ?? '');

/** Places an order and pays it. */
export async function placedAndPaid(body: unknown): Promise<Order> {
  return pay(await placed(body));
}

/**
 * Reports the payment of an order, as whoever takes payments does: with a command over RabbitMQ. An order that was paid meanwhile
 * by somebody else is paid, too.
 *
 * @returns the order as it is then.
 */
export async function pay(order: Order): Promise<Order> {
  const { id: orderId, total: amount, currency } = order;
  const reply = await report(ORDER_COMMANDS.recordPayment, orderId, { paymentId: 'pay_1', amount, currency });
  if (reply.outcome === 'rejected' && reply.rejection.code !== 'already_paid')
    throw new Error(`Not paid: ${JSON.stringify(reply)}`);
  return (await get(`/v1/orders/${orderId}`)).body as Order;
}

/**
 * Reports that everything that an order asked to give back was given back.
 *
 * @returns the order as it is then.
 */
export async function giveBack({ id: orderId, currency, ...order }: Order): Promise<Order> {
  for (const { id: refundId, amount } of 'refunds' in order ? order.refunds : [])
    await report(ORDER_COMMANDS.recordRefund, orderId, { refundId, amount, currency });
  return (await get(`/v1/orders/${orderId}`)).body as Order;
}

async function report(pattern: string, orderId: string, body: object): Promise<CommandReply> {
  const client = ClientProxyFactory.create({
    transport: Transport.RMQ,
    options: { urls: [RABBITMQ_URL], queue: names.queues.orderCommands, queueOptions: { durable: true } },
  });
  try {
    const sent = client.send<CommandReply>(pattern, { commandId: randomUUID(), orderId, body });
    return await firstValueFrom(sent.pipe(timeout(10_000)));
  } finally {
    await client.close();
  }
}
