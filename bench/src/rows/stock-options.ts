import type { RmqOptions } from '@nestjs/microservices';

/** Nest's own RabbitMQ transport: as its documentation shows it, with Nagle's algorithm off where a row says so. */
export function stockOptions(environment: NodeJS.ProcessEnv): NonNullable<RmqOptions['options']> {
  const noDelay = environment['NO_DELAY'] === 'on';
  return {
    urls: [environment['RABBITMQ_URL'] as string],
    queue: environment['QUEUE'] as string,
    queueOptions: { durable: true },
    ...(noDelay ? { socketOptions: { connectionOptions: { noDelay: true } } } : {}),
  };
}
