import { VERSIONS_MAX, type VersionConditions } from '@tandem/contracts/order-commands';
import { invalidRequest } from '../problem.ts';

export interface ConditionHeaders {
  'if-match'?: string | undefined;
  'if-none-match'?: string | undefined;
}

/** What RFC 9110, section 13.1, lets these headers require of an order that is to be changed. */
export function conditionsOf(headers: ConditionHeaders): VersionConditions {
  const match = namedBy('If-Match', headers['if-match']);
  const noneMatch = namedBy('If-None-Match', headers['if-none-match']);
  // No order that is there passes this; of one that is not there, 404 says more.
  if (noneMatch === 'any') return { ifVersion: [] };
  return {
    // One version is sent as ever: an older orders knows no list.
    ...(Array.isArray(match) && { ifVersion: match.length === 1 ? match[0] : match }),
    ...(noneMatch !== undefined && { unlessVersion: noneMatch }),
  };
}

/** What they make of reading an order of this version: 412 comes before 304 (RFC 9110, section 13.2.2). */
export function readingOf(headers: ConditionHeaders, version: number): 'whole' | 'unchanged' | 'mismatch' {
  const match = namedBy('If-Match', headers['if-match']);
  if (Array.isArray(match) && !match.includes(version)) return 'mismatch';
  const known = versionsIn(headers['if-none-match'] ?? '');
  return known === 'any' || known?.includes(version) === true ? 'unchanged' : 'whole';
}

/** Whether they hold for what is there and has no ETag. */
export function holdWithoutTag(headers: ConditionHeaders): boolean {
  const { 'if-match': match = '*', 'if-none-match': noneMatch } = headers;
  return match.trim() === '*' && noneMatch?.trim() !== '*';
}

/** @throws ProblemError 400 naming the header, for what is no list of entity tags. */
function namedBy(name: string, header: string | undefined): 'any' | number[] | undefined {
  if (header === undefined) return undefined;
  const versions = versionsIn(header);
  if (versions !== undefined && versions.length <= VERSIONS_MAX) return versions;
  throw invalidRequest([
    { header: name, detail: `takes * or ETags of the order, such as "3", ${VERSIONS_MAX} at most` },
  ]);
}

/** One entity tag of a list, and what parts it from the one before (RFC 9110, sections 5.6.1 and 8.8.3). */
const TAG = /[ \t,]*(?:W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?=,|$)/y;
const VERSION = /^[1-9]\d{0,15}$/;

/**
 * The versions that a list of entity tags names; undefined when it is no such list. Tags that are no version are left out: they
 * match nothing. A weak tag counts like a strong one: proxies that compress make it of ours, and it names the same version.
 * Sorted, because a repeat may name them in another order.
 */
function versionsIn(header: string): 'any' | number[] | undefined {
  if (header.trim() === '*') return 'any';
  const versions = new Set<number>();
  let end = 0;
  TAG.lastIndex = 0;
  for (let tag = TAG.exec(header); tag !== null; tag = TAG.exec(header)) {
    end = TAG.lastIndex;
    const version = VERSION.test(tag[1] ?? '') ? Number(tag[1]) : NaN;
    if (Number.isSafeInteger(version)) versions.add(version);
  }
  return end === 0 || /[^ \t,]/.test(header.slice(end)) ? undefined : [...versions].sort((a, b) => a - b);
}
