import { randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';

/**
 * Makes ids of orders: UUIDs of version 7 whose time is that of placing, to the millisecond, so that a list by id is a list by
 * time and a range of times is a range of ids. Ids that are made one after the other sort so within a millisecond, too: their
 * counter starts at random in each millisecond and grows by random steps, so that ids do not tell how many orders there are.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9562#section-6.2, methods 1 and 2
 */
export function orderIds(): (placedAt: Date) => string {
  let lastMs = -1;
  let seq = 0;
  return (placedAt) => {
    const msecs = placedAt.getTime();
    const random = randomBytes(16);
    // Half of the counter's 32 bits are left for the steps.
    seq = msecs === lastMs ? seq + 1 + (random.readUInt16BE(0) & STEP_MASK) : random.readUInt32BE(0) & SEQ_START_MASK;
    lastMs = msecs;
    return uuidv7({ msecs, seq, random });
  };
}

/** 2^31 counts above a random start at 2^30 at most: room for 200,000 steps in a millisecond. */
const SEQ_START_MASK = 0x3fff_ffff;
const STEP_MASK = 0x3fff;

/** The smallest id that an order may have that was placed in this millisecond or later. */
export function firstIdAt(ms: number): string {
  const hex = Math.min(Math.max(ms, 0), TIME_MAX).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** What the 48 bits of a UUID's time hold. */
const TIME_MAX = 2 ** 48 - 1;
