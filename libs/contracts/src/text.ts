import { z } from 'zod';

/** What an identifier may not hold: control characters, and halves of surrogate pairs, which are not text. */
const IDENTIFIER = /^[^\p{Cc}\p{Cs}]+$/u;
/** Free text may hold line breaks, never NUL (Postgres cannot store it) or half a surrogate pair. */
// eslint-disable-next-line no-control-regex
const TEXT = /^[^\u0000\p{Cs}]+$/u;

/** A reference given by a caller: 1 to `lengthMax` UTF-16 units, without control characters. */
export const identifier = (lengthMax: number) =>
  z.string().min(1).max(lengthMax).regex(IDENTIFIER, 'holds control characters or ill-formed Unicode');

/** Free text of 1 to `lengthMax` UTF-16 units, well-formed Unicode without NUL. */
export const text = (lengthMax: number) =>
  z.string().min(1).max(lengthMax).regex(TEXT, 'holds NUL or ill-formed Unicode');

/**
 * Makes foreign text storable: lone surrogates and control characters become U+FFFD, line breaks and tabs spaces, and the
 * result has `lengthMax` UTF-16 units at most without a code point cut in two. It may be empty.
 */
export function storableText(foreign: string, lengthMax: number): string {
  // Cut first: what arrives may be huge. No replacement changes the length.
  const last = foreign.codePointAt(lengthMax - 1) ?? 0;
  return foreign
    .slice(0, last > 0xffff ? lengthMax - 1 : lengthMax)
    .toWellFormed()
    .replace(/[\t\n\r]/g, ' ')
    .replace(/\p{Cc}/gu, '\uFFFD')
    .trim();
}

/** At most 20 short strings that travel with an order and mean something to its caller alone. */
export const Metadata = z
  .record(identifier(40), text(200))
  .refine((entries) => Object.keys(entries).length <= 20, 'has more than 20 entries')
  .meta({ maxProperties: 20 });

/** An instant in UTC, RFC 3339 with milliseconds, as `Date.toISOString` writes it. */
export const Instant = z.iso.datetime({ precision: 3 });

/** The place of an event in the events table: unique, growing in commit order. */
export const Position = z.int().min(0);
