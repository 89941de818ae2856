import type { z } from 'zod';

/**
 * Reads what a service of a later version may have written: fields that the schema does not know are left out. For events, jobs
 * and notices, which are read by services of any version. A command is read strictly instead, and refused as a whole, because
 * its caller asked for every field of it.
 */
export function readIgnoringUnknown<T extends z.ZodType>(schema: T, value: unknown): z.ZodSafeParseResult<z.output<T>> {
  const read = schema.safeParse(value);
  const unknown = read.error?.issues ?? [];
  if (unknown.length === 0 || unknown.some(({ code }) => code !== 'unrecognized_keys')) return read;
  const known = structuredClone(value);
  for (const issue of unknown as z.core.$ZodIssueUnrecognizedKeys[]) {
    const place = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], known);
    for (const key of issue.keys) delete (place as Record<string, unknown>)[key];
  }
  return schema.safeParse(known);
}
