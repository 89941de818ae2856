import { readEnvironment } from '@tandem/telemetry/environment';
import { z } from 'zod';

const Environment = z.object({
  PROVIDER_HOST: z.string().default('127.0.0.1'),
  PROVIDER_PORT: z.coerce.number().int().min(0).max(65_535).default(3004),
  /** Where charges and refunds are kept, so that the provider still knows them after a restart. Only in memory when empty. */
  PROVIDER_FILE: z.string().default(''),
});
export type Config = z.infer<typeof Environment>;

/** Reads the environment once. Throws an error that names every variable that is wrong, and how. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  return readEnvironment(Environment, environment);
}
