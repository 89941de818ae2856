import type { z } from 'zod';

/**
 * Reads variables through a schema. An empty one counts as not set, as in compose files and shells: `EVENTS_RETENTION_MS=` means
 * the default, not 0.
 *
 * @throws Error naming every variable that is wrong, and how.
 */
export function readEnvironment<S extends z.ZodType>(schema: S, environment: NodeJS.ProcessEnv): z.infer<S> {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(set);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new Error(`The environment is not usable.\n  ${wrong.join('\n  ')}`);
}
