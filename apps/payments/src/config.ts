import { readEnvironment } from '@tandem/telemetry/environment';
import { z } from 'zod';

const count = (fallback: number) => z.coerce.number().int().min(1).default(fallback);
const port = (fallback: number) => z.coerce.number().int().min(0).max(65_535).default(fallback);

const Environment = z.object({
  POSTGRES_URL: z.url({ protocol: /^postgres(ql)?$/ }).default('postgres://postgres@127.0.0.1:5432/postgres'),
  RABBITMQ_URL: z.url({ protocol: /^amqps?$/ }).default('amqp://guest:guest@127.0.0.1:5672'),
  NAMESPACE: z
    .string()
    .regex(/^[a-z0-9_-]{0,40}$/, 'takes up to 40 lower-case letters, digits, _ and -')
    .default(''),
  PAYMENTS_HOST: z.string().default('127.0.0.1'),
  PAYMENTS_PORT: port(3002),
  /** Jobs of each queue under way at once. docs/adr/0041-one-queue-per-priority.md has what was measured. */
  PAYMENTS_PREFETCH: count(16),
  /** After so many failed attempts a job is parked. */
  PAYMENTS_ATTEMPTS_MAX: count(5),
  /** A payment that was begun so long ago, and of which orders has not taken note, is taken up again. */
  PAYMENTS_SWEEP_AFTER_MS: count(120_000),
  PAYMENTS_CONNECTIONS_MAX: count(8),
  PROVIDER_URL: z
    .url({ protocol: /^https?$/ })
    // Paths are put behind it.
    .transform((url) => url.replace(/\/+$/, ''))
    .default('http://127.0.0.1:3004'),
  /** How long the provider may take to answer. */
  PROVIDER_TIMEOUT_MS: count(3_000),
  /** How long the provider knows an idempotency key. Towards its end a charge or refund is not tried twice without looking for it. */
  PROVIDER_WINDOW_MS: count(86_400_000),
  /** How long the provider is left alone after it has failed several times in a row, before one job tries it. */
  PROVIDER_REST_MS: count(2_000),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});
export type Config = z.infer<typeof Environment>;

/** Reads the environment once. Throws an error that names every variable that is wrong, and how. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  return readEnvironment(Environment, environment);
}
