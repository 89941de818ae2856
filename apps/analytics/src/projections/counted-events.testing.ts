import { randomUUID } from 'node:crypto';
import type { CountedEvent } from '../consumer/read-record.ts';
import type { TestEvent } from '../order-log.testing.ts';

/** Something that happened to an order: one of its own, unless said. */
export const at = (time: string, event: TestEvent['event'], orderId: string = randomUUID()): CountedEvent => {
  return { position: 1n, orderId, version: 1, at: new Date(time), event };
};

/** Events as they come out of the log. */
export const inLog = (events: readonly TestEvent[]): CountedEvent[] =>
  events.map((event, index) => ({ ...event, position: BigInt(index + 1) }));
