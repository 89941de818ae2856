/** A count or an answer that is too large to be sent; the message names it. */
export class TooLargeError extends Error {
  override name = 'TooLargeError';
}

/**
 * The sums of one row as JSON integers. One past 2^53 − 1, where JSON numbers stop being exact, is null, and `tooLarge` has it in
 * full: the other sums and the other rows are answered all the same.
 */
export function rowOf<K extends string>(
  sums: Record<K, string | bigint>,
): Record<K, number | null> & { tooLarge?: Record<string, string> } {
  const row = {} as Record<K, number | null>;
  const tooLarge: Record<string, string> = {};
  for (const [name, sum] of Object.entries(sums) as [K, string | bigint][]) {
    const number = Number(sum);
    row[name] = Number.isSafeInteger(number) ? number : null;
    if (row[name] === null) tooLarge[name] = String(sum);
  }
  return Object.keys(tooLarge).length === 0 ? row : { ...row, tooLarge };
}

/**
 * A count of the database as a JSON integer.
 *
 * @throws TooLargeError naming the sum, past 2^53 − 1, where JSON numbers stop being exact.
 */
export function toSafeInteger(sum: string | bigint, name: string): number {
  const number = Number(sum);
  if (!Number.isSafeInteger(number)) throw new TooLargeError(`A sum passes 2^53 − 1: ${name}.`);
  return number;
}
