// stock and usual: Nest on Fastify that passes each order on with Nest's own ClientRMQ.
import 'reflect-metadata';
import { Body, Controller, Inject, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, type ClientProxy, Transport } from '@nestjs/microservices';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { lastValueFrom } from 'rxjs';
import { stockOptions } from './stock-options.ts';

@Controller('v1/orders')
class StockController {
  constructor(@Inject('ORDERS') private readonly orders: ClientProxy) {}

  @Post()
  place(@Body() body: unknown): Promise<unknown> {
    return lastValueFrom(this.orders.send('order.place', body));
  }
}

@Module({
  imports: [ClientsModule.register([{ name: 'ORDERS', transport: Transport.RMQ, options: stockOptions(process.env) }])],
  controllers: [StockController],
})
class StockModule {}

const app = await NestFactory.create<NestFastifyApplication>(StockModule, new FastifyAdapter(), { logger: false });
await app.listen(Number(process.env['PORT']), '127.0.0.1');
