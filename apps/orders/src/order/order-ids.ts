import { v7 as uuidv7 } from 'uuid';

/**
 * Makes ids of orders: UUIDs of version 7 whose time is that of placing, to the millisecond, so that a list by id is a list by
 * time and a range of times is a range of ids. Ids that are made one after the other sort so within a millisecond, too.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9562#section-5.7
 */
export function orderIds(): (placedAt: Date) => string {
  let made = 0;
  return (placedAt) => uuidv7({ msecs: placedAt.getTime(), seq: made++ });
}

/** The smallest id that an order may have that was placed in this millisecond or later. */
export function firstIdAt(ms: number): string {
  const hex = Math.min(Math.max(ms, 0), TIME_MAX).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** What the 48 bits of a UUID's time hold. */
const TIME_MAX = 2 ** 48 - 1;
