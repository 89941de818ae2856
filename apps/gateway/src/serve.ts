import { setTimeout as pause } from 'node:timers/promises';
import type { LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createLogger } from '@tandem/telemetry/logger';
import { AppModule, Gateway } from './app.module.ts';
import type { Config } from './config.ts';
import { ContractPipe } from './contract.pipe.ts';
import { httpServer } from './http-server.ts';
import { serveOpenApi } from './openapi.ts';
import { ProblemFilter } from './problem.filter.ts';

/** A gateway that listens; `stop` takes it off the load balancer, answers what is under way, and disconnects. */
export interface Serving {
  app: NestFastifyApplication;
  stop(): Promise<void>;
}

/** The system bounds it, too: Linux to `net.core.somaxconn`, 4,096 unless set. */
const BACKLOG = 4_096;

/** Starts the gateway: it listens though RabbitMQ may be away, and says so in its readiness. */
export async function serve(config: Config): Promise<Serving> {
  const logger = createLogger({ service: 'gateway', level: config.LOG_LEVEL });
  const gateway = new Gateway(config);
  const app = await createApp(config, gateway, logger);
  // Node lets 511 connections wait to be accepted: a burst of more would try again after one second, then after three.
  const address = { port: config.GATEWAY_PORT, host: config.GATEWAY_HOST, backlog: BACKLOG };
  await Promise.all([gateway.connect(), app.listen(address)]);
  logger.log(`The gateway listens on ${await app.getUrl()}`, 'Gateway');
  const stop = async () => {
    gateway.health.stopping();
    await pause(config.STOP_DELAY_MS);
    const cut = setTimeout(() => app.getHttpServer().closeAllConnections(), config.STOP_MS);
    await app.close();
    clearTimeout(cut);
    await gateway.close();
    logger.log('Stopped', 'Gateway');
  };
  return { app, stop };
}

/** The application, not connected and not listening yet. */
export async function createApp(
  config: Config,
  gateway: Gateway,
  logger: LoggerService | false,
): Promise<NestFastifyApplication> {
  const { adapter, methodsOf } = httpServer(config, (mayRepeat) => gateway.orders.isFull(mayRepeat));
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(gateway), adapter, {
    logger,
    // The server reads bodies itself: JSON and nothing else.
    bodyParser: false,
  });
  app.useGlobalPipes(new ContractPipe());
  app.useGlobalFilters(new ProblemFilter(methodsOf));
  serveOpenApi(app);
  return app;
}
