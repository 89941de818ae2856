import { z } from 'zod';

/** A number of a query string: decimal digits and nothing else, so that `0x10`, `1e1` or an empty text are refused. */
export const decimal = <T extends z.ZodType>(schema: T) =>
  z.preprocess((text) => (typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : text), schema);
