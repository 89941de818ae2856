import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { createLogger } from '@tandem/telemetry/logger';
import { MessagePipe } from '@tandem/transports/rabbitmq/message.pipe';
import { AppModule, Orders } from './app.module.ts';
import type { Config } from './config.ts';

/**
 * Starts the service: it listens though its servers may be away, and says in its readiness what it waits for. Resolves with what
 * stops it: no new work, what was taken is finished.
 */
export async function serve(config: Config): Promise<() => Promise<void>> {
  const logger = createLogger({ service: 'orders', level: config.LOG_LEVEL });
  const orders = new Orders(config, logger);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(orders), new FastifyAdapter(), { logger });
  app.useGlobalPipes(new MessagePipe());
  for (const strategy of [orders.commandServer, orders.queryServer, orders.controlServer])
    app.connectMicroservice({ strategy }, { inheritAppConfig: true });
  await app.startAllMicroservices();
  orders.database.start();
  if (config.ORDERS_RELAY === 'on') orders.relay.start();
  orders.deadlines.start();
  orders.jobs?.start();
  await app.listen(config.ORDERS_PORT, config.ORDERS_HOST);
  logger.log(`Orders listens on ${await app.getUrl()}`, 'Orders');
  return async () => {
    orders.health.stopping();
    await app.close();
    await orders.close();
    logger.log('Stopped.', 'Orders');
  };
}
