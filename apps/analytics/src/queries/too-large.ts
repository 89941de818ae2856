/** A sum or an answer that is too large to be sent; the message names it. */
export class TooLargeError extends Error {
  override name = 'TooLargeError';
}

/**
 * A sum of the database as a JSON integer.
 *
 * @throws TooLargeError naming the sum, past 2^53 − 1, where JSON numbers stop being exact.
 */
export function toSafeInteger(sum: string | bigint, name: string): number {
  const number = Number(sum);
  if (!Number.isSafeInteger(number)) throw new TooLargeError(`A sum passes 2^53 − 1: ${name}.`);
  return number;
}
