import { readEnvironment } from '@tandem/telemetry/environment';
import { LOG_LEVELS } from '@tandem/telemetry/logger';
import { z } from 'zod';

const count = (fallback: number, least = 1) => z.coerce.number().int().min(least).default(fallback);

const Environment = z.object({
  RABBITMQ_URL: z.url({ protocol: /^amqps?$/ }).default('amqp://guest:guest@127.0.0.1:5672'),
  NAMESPACE: z
    .string()
    .regex(/^[a-z0-9_-]{0,40}$/, 'takes up to 40 lower-case letters, digits, _ and -')
    .default(''),
  GATEWAY_HOST: z.string().default('127.0.0.1'),
  GATEWAY_PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
  /** How long a caller waits for the answer of another service, in milliseconds, before 504. */
  DEADLINE_MS: count(5_000),
  /** How long `?after=` waits for analytics to have counted, in milliseconds. Less than the deadline. */
  AFTER_WAIT_MS: count(3_000, 0),
  /** Requests that may wait for one service's answer at once; the next is answered 503. */
  IN_FLIGHT_MAX: count(2_100),
  /** How long the last of them may have to wait at the rate at which answers come, in milliseconds: fewer may wait then. */
  IN_FLIGHT_WAIT_MS: count(500),
  BODY_BYTES_MAX: count(65_536),
  /** Whether a command without an `Idempotency-Key` is refused. */
  IDEMPOTENCY_REQUIRED: z.stringbool().default(false),
  /** How long a client may take to send its whole request, in milliseconds. */
  REQUEST_TIMEOUT_MS: count(10_000),
  /** How long a connection without a request stays open, in milliseconds. */
  KEEP_ALIVE_MS: count(72_000),
  /** How long it still serves after the signal to stop, not ready any more, so that load balancers see it. */
  STOP_DELAY_MS: count(0, 0),
  /** How long requests under way may take after the signal to stop, in milliseconds, before they are cut off. */
  STOP_MS: count(15_000),
  LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
});

const Config = Environment.refine((config) => config.AFTER_WAIT_MS < config.DEADLINE_MS, {
  path: ['AFTER_WAIT_MS'],
  error: 'must be less than DEADLINE_MS, or no answer could come in time',
});
export type Config = z.infer<typeof Config>;

/** Reads the environment once. Throws an error that names every variable that is wrong, and how. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  return readEnvironment(Config, environment);
}
