import {
  PARKED_AT_ONCE_MAX,
  ParkedFilter,
  ParkedId,
  ParkedMessage,
  ParkedOutcome,
  ParkedService,
} from '@tandem/contracts/parked';
import { z } from 'zod';
import { newText } from '@tandem/contracts/text';
import { decimal } from '../query-text.ts';

const Limit = z.int().min(1).max(PARKED_AT_ONCE_MAX);
const Cursor = z.string().min(1).max(200).meta({ description: '`nextCursor` of the page before' });

/** The parameters of `GET /v1/admin/parked`. */
export const ParkedParameters = z.strictObject({
  service: ParkedService.optional().meta({ description: 'The service that parked it; every service unless given' }),
  state: ParkedFilter.shape.state.meta({ description: 'Whether it waits, or what was done with it' }),
  source: ParkedFilter.shape.source.meta({ description: 'The queue or topic that it came from' }),
  order: ParkedFilter.shape.orderId.meta({ description: 'The id of the order that it is about' }),
  limit: decimal(Limit.default(20)).meta({ description: 'The most that the page may hold' }),
  cursor: Cursor.optional(),
});
export type ParkedParameters = z.infer<typeof ParkedParameters>;

const nextCursor = z
  .string()
  .nullable()
  .meta({ description: 'Null on the last page; goes with the same filters only' });

const unanswered = z
  .array(ParkedService)
  .meta({ description: 'Services that did not answer: what is parked there is missing here' });

/** Service by service, the newest of each first. */
export const ParkedPage = z
  .strictObject({ data: z.array(ParkedMessage), nextCursor, unanswered })
  .meta({ id: 'ParkedPage' });
export type ParkedPage = z.infer<typeof ParkedPage>;

/** The body of `POST /v1/admin/parked/{id}/redrive`. */
export const Redrive = z.strictObject({ reason: newText(500).optional() }).meta({ id: 'Redrive' });
export type Redrive = z.infer<typeof Redrive>;

/** The body of `POST /v1/admin/parked/{id}/drop`. */
export const Drop = z.strictObject({ reason: newText(500) }).meta({ id: 'Drop' });
export type Drop = z.infer<typeof Drop>;

const RedriveFilter = z.strictObject({
  service: ParkedService.optional(),
  source: ParkedFilter.shape.source,
  order: ParkedFilter.shape.orderId,
});

/** The body of `POST /v1/admin/parked/redrive`: either ids, or a filter, of which `{}` means all. */
export const RedriveSome = z
  .strictObject({
    ids: z.array(ParkedId).min(1).max(PARKED_AT_ONCE_MAX).optional(),
    filter: RedriveFilter.optional(),
    limit: Limit.optional().meta({ description: 'How many of the filter at once: 100, unless set' }),
    cursor: Cursor.optional().meta({ description: '`nextCursor` of the answer before, with the same filter' }),
    reason: newText(500).optional(),
  })
  .refine(({ ids, filter }) => (ids === undefined) !== (filter === undefined), {
    path: ['ids'],
    error: 'needs either ids or a filter, of which {} means all',
  })
  .refine(({ ids, cursor, limit }) => ids === undefined || (cursor === undefined && limit === undefined), {
    path: ['ids'],
    error: 'goes without limit and cursor',
  })
  .meta({ id: 'RedriveSome' });
export type RedriveSome = z.infer<typeof RedriveSome>;

/** What became of one of them: as its service says, or that the service did not answer while others did. */
export const RedriveOutcome = z
  .discriminatedUnion('outcome', [
    ...ParkedOutcome.options,
    z.strictObject({ id: ParkedId, outcome: z.literal('unanswered'), detail: z.string() }),
  ])
  .meta({ id: 'RedriveOutcome' });
export type RedriveOutcome = z.infer<typeof RedriveOutcome>;

/** What became of each, and whether there are more of the filter. */
export const RedrivePage = z
  .strictObject({ outcomes: z.array(RedriveOutcome), nextCursor, unanswered })
  .meta({ id: 'RedrivePage' });
export type RedrivePage = z.infer<typeof RedrivePage>;
