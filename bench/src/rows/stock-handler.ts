// stock: a handler that does nothing, on Nest's own ServerRMQ.
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Transport } from '@nestjs/microservices';
import { stockOptions } from './stock-options.ts';

@Controller()
class StockHandler {
  @MessagePattern('order.place')
  place(): { ok: boolean } {
    return { ok: true };
  }
}

@Module({ controllers: [StockHandler] })
class StockModule {}

const options = stockOptions(process.env);
const app = await NestFactory.createMicroservice(StockModule, { transport: Transport.RMQ, options, logger: false });
await app.listen();
