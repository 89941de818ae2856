import { ORDER_EVENTS_PARTITIONS } from '@tandem/contracts/topology';
import { readEnvironment } from '@tandem/telemetry/environment';
import { z } from 'zod';
import { ORDER_LIMITS } from './order/decide.ts';

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
  /** How many copies of each record Kafka keeps: 1 for a single broker, 3 in production (with two in sync at least). */
  KAFKA_REPLICATION: count(1),
  /** How many partitions the log is made with. From then on the database remembers it: another number is a new log. */
  EVENTS_PARTITIONS: z.coerce.number().int().min(1).max(1_000).default(ORDER_EVENTS_PARTITIONS),
  /** How long the log keeps events, in milliseconds; -1 for ever. What it has deleted, no rebuild can count again. */
  EVENTS_RETENTION_MS: z.coerce.number().int().min(-1).default(-1),
  NAMESPACE: z
    .string()
    .regex(/^[a-z0-9_-]{0,40}$/, 'takes up to 40 lower-case letters, digits, _ and -')
    .default(''),
  ORDERS_HOST: z.string().default('127.0.0.1'),
  ORDERS_PORT: port(3001),
  /** Commands that may wait for their answer at once; RabbitMQ holds back the rest. Counted in messages of up to 64. */
  ORDERS_PREFETCH: count(64),
  ORDERS_CONNECTIONS_MAX: count(8),
  /** `off`: this instance only answers, and leaves publishing to Kafka to the others. */
  ORDERS_RELAY: z.enum(['on', 'off']).default('on'),
  /** How long an order may wait for its payment, in milliseconds, before the system cancels it. */
  PAYMENT_DEADLINE_MS: count(86_400_000),
  /** The most that one order may cost, in minor units of its currency. */
  ORDER_TOTAL_MAX: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).default(ORDER_LIMITS.totalMax),
  /** An order with so many events takes no more shipments and refunds, but of all that remains. */
  ORDER_EVENTS_MAX: count(ORDER_LIMITS.eventsMax),
  /** `off`: this instance leaves publishing jobs for payments to the others. */
  ORDERS_JOBS: z.enum(['on', 'off']).default('on'),
  /** An order that is neither paid nor cancelled after so long, or a refund not made, is asked for again. */
  ORDERS_UNSETTLED_MS: count(300_000),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});
export type Config = z.infer<typeof Environment>;

/** Reads the environment once. Throws an error that names every variable that is wrong, and how. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  return readEnvironment(Environment, environment);
}
