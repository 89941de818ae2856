import { readEnvironment } from '@tandem/telemetry/environment';
import { LOG_LEVELS } from '@tandem/telemetry/logger';
import { z } from 'zod';

const count = (fallback: number) => z.coerce.number().int().min(1).default(fallback);
const port = (fallback: number) => z.coerce.number().int().min(0).max(65_535).default(fallback);

const Environment = z.object({
  POSTGRES_URL: z.url({ protocol: /^postgres(ql)?$/ }).default('postgres://postgres@127.0.0.1:5432/postgres'),
  RABBITMQ_URL: z.url({ protocol: /^amqps?$/ }).default('amqp://guest:guest@127.0.0.1:5672'),
  KAFKA_BROKERS: z
    .string()
    .regex(/^[^\s,]+:\d+(,[^\s,]+:\d+)*$/, 'is a comma-separated list of host:port')
    .default('127.0.0.1:9092')
    .transform((brokers) => brokers.split(',')),
  NAMESPACE: z
    .string()
    .regex(/^[a-z0-9_-]{0,40}$/, 'takes up to 40 lower-case letters, digits, _ and -')
    .default(''),
  ANALYTICS_HOST: z.string().default('127.0.0.1'),
  ANALYTICS_PORT: port(3003),
  /** Queries under way at once, but for those that wait for a position; RabbitMQ holds back the rest. */
  ANALYTICS_PREFETCH: count(64),
  /** Connections for queries; the consumer has its own. */
  ANALYTICS_CONNECTIONS_MAX: count(4),
  /** Readiness reports a lag above this many records. */
  ANALYTICS_LAG_MAX: count(10_000),
  LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
});
export type Config = z.infer<typeof Environment>;

/** Reads the environment once. Throws an error that names every variable that is wrong, and how. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  return readEnvironment(Environment, environment);
}
