import { hash, randomUUID } from 'node:crypto';
import { invalidRequest } from '../problem.ts';

/** The longest `Idempotency-Key`, in characters. */
export const IDEMPOTENCY_KEY_LENGTH_MAX = 255;

const VISIBLE = /^[\x21-\x7e]+$/;
/** A value of RFC 9651, section 3.3: string, text, token, bytes, boolean, number or date. */
const VALUE =
  /"(?:[ !#-[\]-~]|\\["\\])*"|%"[ !#-$&-~%]*"|[a-zA-Z*][\w!#$%&'*+.^`|~:/-]*|:[\w+/=]*:|\?[01]|@?-?\d{1,15}(?:\.\d{1,3})?/;
/** A string with its parameters, which say nothing here: quotes and backslashes within are escaped by a backslash. */
const QUOTED = new RegExp(`^"((?:[!#-[\\]-~]|\\\\["\\\\])*)"(?:; *[a-z*][a-z\\d_.*-]*(?:=(?:${VALUE.source}))?)*$`);

/**
 * The caller's `Idempotency-Key`, or a new one if there is none. A key in quotes is the same key as without them, as
 * draft-ietf-httpapi-idempotency-key-header has it quoted and most callers do not; parameters after the quotes say nothing here.
 *
 * @throws ProblemError 400 naming the header, for anything but 1 to 255 visible ASCII characters, or none where one is required.
 */
export function idempotencyKeyOf(header: string | string[] | undefined, required = false): string {
  if (header === undefined && required) throw invalidRequest([{ header: 'Idempotency-Key', detail: 'is required' }]);
  if (header === undefined) return randomUUID();
  const key = typeof header !== 'string' ? '' : header.startsWith('"') ? unquoted(header) : header;
  if (key.length >= 1 && key.length <= IDEMPOTENCY_KEY_LENGTH_MAX && VISIBLE.test(key)) return key;
  throw invalidRequest([
    { header: 'Idempotency-Key', detail: 'takes one key of 1 to 255 visible ASCII characters, quoted or not' },
  ]);
}

const unquoted = (header: string) => QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1') ?? '';

/**
 * The id of a command: the same for every repetition, and for no other subject, operation or order, though they may use
 * the same key. A UUID of version 8 (RFC 9562, section 5.8) made of the first bits of a SHA-256.
 */
export function commandIdOf(subject: string, operation: string, target: string, key: string): string {
  // An array as JSON keeps the parts apart, whatever they hold.
  const digest = hash('sha256', JSON.stringify([subject, operation, target, key]), 'hex');
  const variant = ((parseInt(digest.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return [
    digest.slice(0, 8),
    digest.slice(8, 12),
    `8${digest.slice(13, 16)}`,
    `${variant}${digest.slice(17, 20)}`,
    digest.slice(20, 32),
  ].join('-');
}
