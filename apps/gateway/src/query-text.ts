import { z } from 'zod';
import { invalidRequest } from './problem.ts';

/** A number of a query string: decimal digits and nothing else, so that `0x10`, `1e1` or an empty text are refused. */
export const decimal = <T extends z.ZodType>(schema: T) =>
  z.preprocess((text) => (typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : text), schema);

/** An instant of a query string, in any zone. Of milliseconds at most, as everything here is. */
export const instant = z.iso
  .datetime({ offset: true })
  .refine((text) => /^[^.]*(\.\d{1,3}(?!\d).*)?$/.test(text), 'must not be finer than milliseconds');

/**
 * The same instant as contracts have it: in UTC, with milliseconds.
 *
 * @throws ProblemError 400 naming the parameter, when the zone moves it out of the years that have four digits.
 */
export function utcOf(text: string | undefined, parameter: string): string | undefined {
  if (text === undefined) return undefined;
  const iso = new Date(text).toISOString();
  if (/^\d{4}-/.test(iso)) return iso;
  throw invalidRequest([{ parameter, detail: 'is not within the years 0000 to 9999' }]);
}
