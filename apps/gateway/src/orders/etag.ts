import { invalidRequest } from '../problem.ts';

const ENTITY_TAG = /^"([1-9][0-9]{0,15})"$/;

/**
 * The version that `If-Match` asks for: undefined when there is no condition, or the order only has to exist (`*`).
 *
 * @throws ProblemError 400 naming the header, for anything but `*` or one ETag as this API gives them.
 */
export function ifMatchOf(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined;
  const version = Number(ENTITY_TAG.exec(header.trim())?.[1]);
  if (Number.isSafeInteger(version)) return version;
  throw invalidRequest([{ header: 'If-Match', detail: 'takes * or one ETag of the order, such as "3"' }]);
}

/** Whether `If-None-Match` names this ETag, by the weak comparison of RFC 9110, section 13.1.2. */
export function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
