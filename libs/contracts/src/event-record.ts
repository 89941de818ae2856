import { z } from 'zod';
import { OrderId, Version } from './order.ts';
import { Instant, Position } from './text.ts';

// Events travel as CloudEvents 1.0 in Kafka's binary content mode: attributes in headers, data as JSON in the value.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md

/** `ce_source` of every event of an order. */
export const ORDER_EVENT_SOURCE = '/tandem/orders';

/** The largest `bigint` of PostgreSQL: what passes it has no place in any table. */
const BIGINT_MAX = 2n ** 63n - 1n;

const decimal = z
  .string()
  .regex(/^\d{1,19}$/)
  .transform(BigInt)
  .refine((number) => number <= BIGINT_MAX, 'must be at most 2^63 - 1');

/**
 * The headers of a record of `order.events`. `prev` is the position before it in its partition (0 for the first), so a
 * reader sees a gap; `epoch` names the log, which changes when a database was restored to an earlier state.
 */
export const EventHeaders = z.object({
  ce_specversion: z.literal('1.0'),
  ce_id: z.string().min(1),
  ce_type: z.string().min(1).max(200),
  ce_source: z.string().min(1),
  ce_subject: OrderId,
  ce_time: Instant,
  'content-type': z.literal('application/json'),
  traceparent: z.string().max(64).optional(),
  position: decimal,
  prev: decimal,
  epoch: z.uuid(),
  version: z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(Version),
});
export type EventHeaders = z.infer<typeof EventHeaders>;

/** What writes the headers: the same names, everything as text. */
export type EventHeadersWritten = Record<keyof z.input<typeof EventHeaders>, string>;

/**
 * The value of a record of `order.checkpoints`: everything up to `position` is in the log, and each partition holds it
 * below its `endOffset` (offsets as decimal text, as Kafka's own tools write them).
 */
export const LogCheckpoint = z.strictObject({
  epoch: z.uuid(),
  position: Position,
  partitions: z.array(
    z.strictObject({ partition: z.int().min(0), position: Position, endOffset: z.string().regex(/^\d{1,19}$/) }),
  ),
});
export type LogCheckpoint = z.infer<typeof LogCheckpoint>;
