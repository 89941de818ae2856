import { z } from 'zod';
import { Instant, identifier, text } from './text.ts';

/** The services that set messages aside which they cannot read, run or apply, each as rows of its own database. */
export const PARKED_SERVICES = ['analytics', 'orders', 'payments'] as const;
export const ParkedService = z.enum(PARKED_SERVICES).meta({ id: 'ParkedService' });
export type ParkedService = z.infer<typeof ParkedService>;

/** The patterns that a service answers on its queue of queries. */
export const parkedPatterns = <S extends ParkedService>(service: S) =>
  ({
    list: `${service}.parked.list`,
    show: `${service}.parked.show`,
    redrive: `${service}.parked.redrive`,
    drop: `${service}.parked.drop`,
  }) as const;

/** Unique across all services: the service and the number of its row. */
export const ParkedId = z
  .string()
  .regex(
    new RegExp(`^(${PARKED_SERVICES.join('|')})-[1-9]\\d{0,17}$`),
    'must be the service and a number, such as analytics-17',
  )
  .meta({ description: 'The service and the number of the message there', example: 'analytics-17' });

export const parkedIdOf = (service: ParkedService, row: bigint | string): string => `${service}-${row}`;

/** The number of a parked message's row, or undefined when it belongs to another service. */
export function parkedRowOf(service: ParkedService, id: string): bigint | undefined {
  return id.startsWith(`${service}-`) ? BigInt(id.slice(service.length + 1)) : undefined;
}

/** Waiting, or what was done with it. */
export const ParkedState = z.enum(['parked', 'redriven', 'dropped']).meta({ id: 'ParkedState' });
export type ParkedState = z.infer<typeof ParkedState>;

/** Why somebody did something with a parked message. */
export const ActReason = text(500);

/** What somebody did with a parked message; a redrive that was refused too. */
export const ParkedAct = z
  .strictObject({
    act: z.enum(['redrive', 'drop']),
    outcome: z.enum(['done', 'refused']),
    by: identifier(200),
    reason: ActReason.optional(),
    /** Why it was refused. */
    detail: z.string().optional(),
    at: Instant,
  })
  .meta({ id: 'ParkedAct' });
export type ParkedAct = z.infer<typeof ParkedAct>;

/** One parked message, of RabbitMQ or of Kafka. What its broker or its kind does not have is left out. */
export const ParkedMessage = z
  .strictObject({
    id: ParkedId,
    service: ParkedService,
    broker: z.enum(['rabbitmq', 'kafka']),
    source: z.string().meta({ description: 'The queue or topic that it came from' }),
    partition: z.int().min(0).optional(),
    offset: z.string().optional().meta({ description: 'A number that may pass 2^53' }),
    orderId: z.string().optional(),
    type: z.string().optional().meta({ description: 'What it says that it is: an event type, or a pattern' }),
    reason: z.string().meta({ description: 'Why it was parked, or why the last redrive left it' }),
    attempts: z.int().min(1).optional().meta({ description: 'How often it was tried before' }),
    firstFailedAt: Instant.optional(),
    traceparent: z.string().optional(),
    parkedAt: Instant,
    state: ParkedState,
  })
  .meta({ id: 'ParkedMessage' });
export type ParkedMessage = z.infer<typeof ParkedMessage>;

/** The most of a message's content that is shown. */
export const PARKED_CONTENT_BYTES_MAX = 16_384;

/** So much of a content is kept. Readers take a quarter of it at most, so that what is cut could not be read anyway. */
export const PARKED_KEPT_BYTES_MAX = 4 * 1_048_576;

/** One parked message with what it holds and what was done with it, oldest first. */
export const ParkedDetails = z
  .strictObject({
    ...ParkedMessage.shape,
    headers: z.record(z.string(), z.unknown()),
    content: z
      .strictObject({
        bytes: z.int().min(0).meta({ description: 'Of the whole content' }),
        encoding: z.enum(['utf-8', 'base64']),
        text: z.string().meta({ description: 'Its first 16 KiB' }),
        keptBytes: z.int().min(0).optional().meta({ description: 'Only its first bytes were kept, so many' }),
        sha256: z.string().optional().meta({ description: 'Of the whole content, where only a part was kept' }),
      })
      .nullable(),
    acts: z.array(ParkedAct),
  })
  .meta({ id: 'ParkedDetails' });
export type ParkedDetails = z.infer<typeof ParkedDetails>;

/** The most that one page, or one redrive, may hold. */
export const PARKED_AT_ONCE_MAX = 100;
const limit = z.int().min(1).max(PARKED_AT_ONCE_MAX);

/** Which of the parked messages of a service. */
export const ParkedFilter = z.strictObject({
  state: ParkedState.optional(),
  source: identifier(255).optional(),
  orderId: identifier(64).optional(),
});
export type ParkedFilter = z.infer<typeof ParkedFilter>;

/** `<service>.parked.list`: newest first; `before` is the last id of the page before. */
export const ListParked = z.strictObject({ filter: ParkedFilter, limit, before: ParkedId.optional() });
export type ListParked = z.infer<typeof ListParked>;
export const ListParkedReply = z.strictObject({ parked: z.array(ParkedMessage), more: z.boolean() });
export type ListParkedReply = z.infer<typeof ListParkedReply>;

/** `<service>.parked.show` */
export const ShowParked = z.strictObject({ id: ParkedId });
export type ShowParked = z.infer<typeof ShowParked>;
export const ShowParkedReply = z.strictObject({ parked: ParkedDetails.nullable() });
export type ShowParkedReply = z.infer<typeof ShowParkedReply>;

/** Who does something, and why. */
const acting = { by: identifier(200), reason: ActReason.optional() };

/** `<service>.parked.redrive`: those of the ids, oldest first. */
export const RedriveParked = z.strictObject({
  ids: z.array(ParkedId).min(1).max(PARKED_AT_ONCE_MAX),
  ...acting,
});
export type RedriveParked = z.infer<typeof RedriveParked>;

/** `<service>.parked.drop` */
export const DropParked = z.strictObject({ id: ParkedId, ...acting, reason: ActReason });
export type DropParked = z.infer<typeof DropParked>;

/**
 * What became of one message. `done`: it is parked no more. `refused`: it stays, and the detail says why. `settled`: it was
 * redriven or dropped before.
 */
export const ParkedOutcome = z
  .discriminatedUnion('outcome', [
    z.strictObject({ id: ParkedId, outcome: z.literal('done') }),
    z.strictObject({ id: ParkedId, outcome: z.literal('refused'), detail: z.string() }),
    z.strictObject({ id: ParkedId, outcome: z.literal('settled'), state: ParkedState }),
    z.strictObject({ id: ParkedId, outcome: z.literal('not_found') }),
  ])
  .meta({ id: 'ParkedOutcome' });
export type ParkedOutcome = z.infer<typeof ParkedOutcome>;

export const RedriveParkedReply = z.strictObject({ outcomes: z.array(ParkedOutcome) });
export type RedriveParkedReply = z.infer<typeof RedriveParkedReply>;
export const DropParkedReply = z.strictObject({ outcome: ParkedOutcome });
export type DropParkedReply = z.infer<typeof DropParkedReply>;
