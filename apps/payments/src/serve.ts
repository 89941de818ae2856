import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { createLogger } from '@tandem/telemetry/logger';
import { MessagePipe } from '@tandem/transports/rabbitmq/message.pipe';
import { AppModule, Payments } from './app.module.ts';
import type { Config } from './config.ts';

/** Starts the service: it listens though its servers may be away, and says in its readiness what it waits for. */
export async function serve(config: Config): Promise<NestFastifyApplication> {
  const logger = createLogger({ service: 'payments', level: config.LOG_LEVEL });
  const payments = new Payments(config, logger);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(payments), new FastifyAdapter(), {
    logger,
  });
  app.useGlobalPipes(new MessagePipe());
  app.connectMicroservice({ strategy: payments.jobServer }, { inheritAppConfig: true });
  app.connectMicroservice({ strategy: payments.queryServer }, { inheritAppConfig: true });
  await app.startAllMicroservices();
  await app.listen(config.PAYMENTS_PORT, config.PAYMENTS_HOST);
  logger.log(`Payments listens on ${await app.getUrl()}`, 'Payments');
  return app;
}
