import { hash, randomUUID } from 'node:crypto';
import { invalidRequest } from '../problem.ts';

/** The longest `Idempotency-Key`, in characters. */
export const IDEMPOTENCY_KEY_LENGTH_MAX = 255;

const VISIBLE = /^[\x21-\x7e]+$/;
/** A string of RFC 8941: quotes and backslashes within are escaped by a backslash. */
const QUOTED = /^"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/**
 * The caller's `Idempotency-Key`, or a new one if there is none. A key in quotes is the same key as without them, as
 * draft-ietf-httpapi-idempotency-key-header has it quoted and most callers do not.
 *
 * @throws ProblemError 400 naming the header, for anything but 1 to 255 visible ASCII characters.
 */
export function idempotencyKeyOf(header: string | string[] | undefined): string {
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
