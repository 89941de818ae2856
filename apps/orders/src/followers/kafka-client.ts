import type { Logger } from '@tandem/telemetry/logger';
import { Kafka, logLevel } from 'kafkajs';
import type { Config } from '../config.ts';

/** A Kafka client whose lines go to the service's log. */
export function kafkaOf(config: Config, logger: Logger): Kafka {
  return new Kafka({
    clientId: 'orders',
    brokers: config.KAFKA_BROKERS,
    connectionTimeout: 2_000,
    requestTimeout: 10_000,
    retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 1_000 },
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => logger.debug?.(`${entry.namespace}: ${entry.log.message}`, 'kafkajs'),
  });
}
