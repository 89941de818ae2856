import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { createLogger } from '@tandem/telemetry/logger';
import { MessagePipe } from '@tandem/transports/rabbitmq/message.pipe';
import { Analytics, AppModule } from './app.module.ts';
import type { Config } from './config.ts';

/** Starts the service: it listens though its servers may be away, and says in its readiness what it waits for. */
export async function serve(config: Config): Promise<NestFastifyApplication> {
  const logger = createLogger({ service: 'analytics', level: config.LOG_LEVEL });
  const analytics = new Analytics(config, logger);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(analytics), new FastifyAdapter(), {
    logger,
  });
  app.useGlobalPipes(new MessagePipe());
  app.connectMicroservice({ strategy: analytics.queryServer }, { inheritAppConfig: true });
  app.connectMicroservice({ strategy: analytics.controlServer }, { inheritAppConfig: true });
  app.connectMicroservice({ strategy: analytics.eventServer });
  app.connectMicroservice({ strategy: analytics.checkpointServer });
  await app.startAllMicroservices();
  await app.listen(config.ANALYTICS_PORT, config.ANALYTICS_HOST);
  logger.log(`Analytics listens on ${await app.getUrl()}`, 'Analytics');
  return app;
}
