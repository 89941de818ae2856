import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { createLogger } from '@tandem/telemetry/logger';
import { MessagePipe } from '@tandem/transports/rabbitmq/message.pipe';
import { AppModule, Orders } from './app.module.ts';
import type { Config } from './config.ts';

/** Starts the service: it listens though its servers may be away, and says in its readiness what it waits for. */
export async function serve(config: Config): Promise<NestFastifyApplication> {
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
  stopOnSignal(async () => {
    orders.health.stopping();
    await app.close();
    await orders.close();
    logger.log('Stopped.', 'Orders');
  });
  return app;
}

/** Stops once, however often the signal comes; what hangs is cut off so that the process ends. */
function stopOnSignal(stop: () => Promise<void>): void {
  const onSignal = () => {
    setTimeout(() => process.exit(1), 15_000).unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);
}
