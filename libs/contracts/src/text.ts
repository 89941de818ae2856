import { z } from 'zod';

// Two rules for each kind of text. What was stored once stays readable for ever, so events, replies and filters take whatever was
// ever taken; commands take only what is the same text for everybody who reads it. Patterns mean the same with and without the
// flag `u`, because generated clients compile them without it.

// eslint-disable-next-line no-control-regex
const WITHOUT_CONTROLS = /^[^\u0000-\u001F\u007F-\u009F]+$/;
// eslint-disable-next-line no-control-regex
const WITHOUT_NUL = /^[^\u0000]+$/;
// eslint-disable-next-line no-control-regex
const WITHOUT_CONTROLS_BUT_BREAKS = /^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]+$/;

const ILL_FORMED = 'is not well-formed Unicode: it holds half of a surrogate pair';

/** A stored identifier: 1 to `lengthMax` UTF-16 units, without control characters. */
export const identifier = (lengthMax: number) =>
  z
    .string()
    .min(1)
    .max(lengthMax)
    .regex(WITHOUT_CONTROLS, 'holds control characters')
    .refine((value) => value.isWellFormed(), ILL_FORMED);

/** Stored free text of 1 to `lengthMax` UTF-16 units, well-formed Unicode without NUL, which Postgres cannot store. */
export const text = (lengthMax: number) =>
  z
    .string()
    .min(1)
    .max(lengthMax)
    .regex(WITHOUT_NUL, 'holds NUL')
    .refine((value) => value.isWellFormed(), ILL_FORMED);

/**
 * An identifier or reference in a command: 1 to `lengthMax` UTF-16 units in Normalization Form C, without control characters,
 * without invisible or bidirectional control characters, and without spaces at its ends. Two that look the same are then the
 * same in more cases (UAX #31, UTS #39); letters that look alike stay different.
 */
export const newIdentifier = (lengthMax: number, description = '') =>
  z
    .string()
    .min(1)
    .max(lengthMax)
    .check(refusing(faultOfIdentifier))
    .meta({
      pattern: WITHOUT_CONTROLS.source,
      description:
        `${description}${description && '. '}In Unicode Normalization Form C, without invisible or bidirectional control ` +
        'characters and without spaces at its ends',
    });

/**
 * Free text in a command: 1 to `lengthMax` UTF-16 units without control characters other than tabs and line breaks, and
 * without those that override the direction of what surrounds them. Joiners, marks and isolates belong to some writing systems.
 */
export const newText = (lengthMax: number) =>
  z.string().min(1).max(lengthMax).check(refusing(faultOfText)).meta({
    pattern: WITHOUT_CONTROLS_BUT_BREAKS.source,
    description: 'Without control characters other than tabs and line breaks',
  });

function refusing(faultOf: (value: string) => string | undefined): z.core.CheckFn<string> {
  return (payload) => {
    const message = faultOf(payload.value);
    if (message !== undefined) payload.issues.push({ code: 'custom', message, input: payload.value });
  };
}

// Nearly every text is of these, and is looked at no further.
const ASCII_IDENTIFIER = /^[!-~](?:[ -~]*[!-~])?$/;
const ASCII_TEXT = /^[\t\n\r -~]*$/;

const CONTROL = /\p{Cc}/u;
const CONTROL_BUT_BREAKS = /[^\P{Cc}\t\n\r]/u;
const BIDIRECTIONAL = /\p{Bidi_Control}/u;
/** The embeddings and overrides of UAX #9, which can show a text in another order than it has. */
const OVERRIDE = /[\u202A-\u202E]/u;
/** What shows nothing: U+FFF9 to U+FFFB and U+2800 (blank Braille) are not in the property. */
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\uFFF9-\uFFFB\u2800]/u;
const SPACE_AT_AN_END = /^\p{White_Space}|\p{White_Space}$/u;

function faultOfIdentifier(value: string): string | undefined {
  if (ASCII_IDENTIFIER.test(value)) return undefined;
  if (!value.isWellFormed()) return ILL_FORMED;
  if (CONTROL.test(value)) return `holds a control character, ${named(CONTROL, value)}`;
  if (BIDIRECTIONAL.test(value)) return `holds a bidirectional control character, ${named(BIDIRECTIONAL, value)}`;
  if (INVISIBLE.test(value)) return `holds an invisible character, ${named(INVISIBLE, value)}`;
  if (SPACE_AT_AN_END.test(value)) return 'begins or ends with a space';
  if (value.normalize('NFC') !== value) return 'is not in Unicode Normalization Form C';
  return undefined;
}

function faultOfText(value: string): string | undefined {
  if (ASCII_TEXT.test(value)) return undefined;
  if (!value.isWellFormed()) return ILL_FORMED;
  if (CONTROL_BUT_BREAKS.test(value)) return `holds a control character, ${named(CONTROL_BUT_BREAKS, value)}`;
  if (OVERRIDE.test(value)) return `holds a character that overrides the direction of text, ${named(OVERRIDE, value)}`;
  return undefined;
}

/** The first match as Unicode writes it: `U+200B`. */
function named(pattern: RegExp, value: string): string {
  const codePoint = pattern.exec(value)?.[0].codePointAt(0) ?? 0;
  return `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
}

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

const METADATA_ENTRIES_MAX = 20;
const metadata = <K extends z.ZodString, V extends z.ZodString>(key: K, value: V) =>
  z
    .record(key, value)
    .refine((entries) => Object.keys(entries).length <= METADATA_ENTRIES_MAX, 'has more than 20 entries')
    .meta({ maxProperties: METADATA_ENTRIES_MAX });

/** At most 20 short strings that travel with an order and mean something to its caller alone. */
export const Metadata = metadata(identifier(40), text(200));
/** The same in a command. */
export const NewMetadata = metadata(newIdentifier(40), newText(200)).meta({
  maxProperties: METADATA_ENTRIES_MAX,
  description: 'Keys of 1 to 40 characters, under the rules of identifiers',
});

/** An instant in UTC, RFC 3339 with milliseconds, as `Date.toISOString` writes it. */
export const Instant = z.iso.datetime({ precision: 3 });

/** The place of an event in the events table: unique, growing in commit order. */
export const Position = z.int().min(0);
