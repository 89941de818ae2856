import { hash } from 'node:crypto';
import type { z } from 'zod';
import { invalidRequest } from '../problem.ts';

const DIGEST_LENGTH = 12;

/**
 * The opaque text that continues a list after its `last` item, bound to what the list is of. Its digest tells a cursor of
 * another list, or of other filters, from one of this list: a page of the wrong list would look right.
 */
export function writeCursor(list: readonly unknown[], last: string): string {
  return `${digestOf(list, last)}${Buffer.from(last).toString('base64url')}`;
}

/**
 * The last item before the page that is asked for, as `writeCursor` was given it.
 *
 * @param schema of the item: the digest is no secret, so that anybody can write a cursor that has the right one.
 * @param place where the request holds the cursor.
 * @throws ProblemError 400 naming the place, for anything that `writeCursor` did not write for this list.
 */
export function readCursor<T>(
  list: readonly unknown[],
  cursor: string | undefined,
  schema: z.ZodType<T>,
  place: { parameter: string } | { pointer: string } = { parameter: 'cursor' },
): T | undefined {
  if (cursor === undefined) return undefined;
  const last = Buffer.from(cursor.slice(DIGEST_LENGTH), 'base64url').toString();
  const item = schema.safeParse(last);
  if (item.success && writeCursor(list, last) === cursor) return item.data;
  const detail = 'is not a cursor of this list; a cursor goes with the filters it was given for';
  throw invalidRequest([{ ...place, detail }]);
}

function digestOf(list: readonly unknown[], last: string): string {
  const key = list.map((part) => part ?? null);
  return hash('sha256', JSON.stringify([key, last]), 'base64url').slice(0, DIGEST_LENGTH);
}
