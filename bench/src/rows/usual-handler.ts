// usual: what a careful user would write on stock Nest today. One transaction an order, then the event to Kafka (the dual
// write: a crash between the two loses the event), acked when both are done.
import 'reflect-metadata';
import { Controller, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientsModule,
  Ctx,
  MessagePattern,
  Payload,
  RmqContext,
  Transport,
  type ClientKafka,
} from '@nestjs/microservices';
import type { Channel, ConsumeMessage } from 'amqplib';
import pg from 'pg';
import { lastValueFrom } from 'rxjs';
import { v7 as uuidv7 } from 'uuid';
import type { ORDER } from './body.ts';
import { stockOptions } from './stock-options.ts';

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 8 });
const topic = process.env['TOPIC'] as string;

@Controller()
class UsualHandler {
  constructor(@Inject('KAFKA') private readonly kafka: ClientKafka) {}

  @MessagePattern('order.place')
  async place(@Payload() body: typeof ORDER, @Ctx() context: RmqContext): Promise<object> {
    const order = { id: uuidv7(), status: 'placed', placedAt: new Date().toISOString(), ...body };
    const client = await pool.connect();
    try {
      await client.query('begin');
      await client.query({
        name: 'place',
        text: 'insert into orders (id, customer_id, status, state) values ($1, $2, $3, $4)',
        values: [order.id, order.customerId, order.status, JSON.stringify(order)],
      });
      await client.query('commit');
    } finally {
      client.release();
    }
    await lastValueFrom(this.kafka.emit(topic, { key: order.id, value: JSON.stringify(order) }));
    (context.getChannelRef() as Channel).ack(context.getMessage() as ConsumeMessage);
    return order;
  }
}

@Module({
  imports: [
    ClientsModule.register([
      {
        name: 'KAFKA',
        transport: Transport.KAFKA,
        options: { client: { brokers: (process.env['KAFKA_BROKERS'] as string).split(',') }, producerOnlyMode: true },
      },
    ]),
  ],
  controllers: [UsualHandler],
})
class UsualModule {}

const options = { ...stockOptions(process.env), noAck: false, prefetchCount: 64 };
const app = await NestFactory.createMicroservice(UsualModule, { transport: Transport.RMQ, options, logger: false });
await app.listen();
