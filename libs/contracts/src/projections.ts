import { z } from 'zod';
import { Instant } from './text.ts';

const Count = z.int().min(0);

/** What a projection is called in addresses and commands. */
export const ProjectionName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'takes small letters, digits and -')
  .meta({ example: 'order-counts' });

/** A count, sum or quantile of which the rebuilt copy says something else, as decimal text: sums may pass 2^53. */
export const ProjectionDifference = z
  .strictObject({ name: z.string(), live: z.string(), rebuilt: z.string() })
  .meta({ id: 'ProjectionDifference' });
export type ProjectionDifference = z.infer<typeof ProjectionDifference>;

/** The latest rebuild of a projection. */
export const Rebuild = z
  .strictObject({
    id: z.uuid(),
    /** The version of the code that counts. */
    version: Count,
    state: z.enum(['waiting', 'reading', 'swapped', 'failed', 'cancelled']),
    acceptDifferences: z.boolean(),
    requestedAt: Instant,
    finishedAt: Instant.nullable(),
    /** Records of the log. */
    read: Count,
    total: Count,
    remainingMs: Count.nullable().meta({ description: 'An estimate; null until there is one' }),
    reason: z.string().nullable().meta({ description: 'Why it failed, or what it waits for' }),
    differences: z.array(ProjectionDifference),
  })
  .meta({ id: 'Rebuild' });
export type Rebuild = z.infer<typeof Rebuild>;

/** What is counted, by which version of its code, and its latest rebuild. */
export const ProjectionStatus = z
  .strictObject({
    name: ProjectionName,
    version: Count.meta({ description: 'Of the code that counted it; 0 when it began in the middle of the log' }),
    codeVersion: Count,
    stale: z.boolean().meta({ description: 'It was counted by another version than that of the code: rebuild it' }),
    rebuild: Rebuild.optional(),
  })
  .meta({ id: 'Projection' });
export type ProjectionStatus = z.infer<typeof ProjectionStatus>;

/** `analytics.projections`: all of them, in the order in which they are counted. */
export const ListProjections = z.strictObject({});
export type ListProjections = z.infer<typeof ListProjections>;
export const ProjectionList = z.strictObject({ data: z.array(ProjectionStatus) }).meta({ id: 'ProjectionList' });
export type ProjectionList = z.infer<typeof ProjectionList>;

/** The body of `POST /v1/admin/projections/{name}/rebuild`. */
export const RebuildOptions = z
  .strictObject({
    acceptDifferences: z
      .boolean()
      .default(false)
      .meta({ description: 'Swap though the rebuilt copy says something else than the live one of the same version' }),
  })
  .meta({ id: 'RebuildOptions' });
/** As it is sent: analytics fills in the defaults. */
export type RebuildOptions = z.input<typeof RebuildOptions>;

/** `analytics.rebuild`. Asked again while it runs, it answers with the rebuild that runs. */
export const RebuildProjection = z.strictObject({ name: ProjectionName, ...RebuildOptions.shape });
export type RebuildProjection = z.infer<typeof RebuildProjection>;
export type RebuildProjectionSent = z.input<typeof RebuildProjection>;
export const RebuildReply = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('accepted'), projection: ProjectionStatus }),
  z.strictObject({ outcome: z.literal('not_found') }),
  /** The log does not begin with its first record: what was deleted could not be counted again. */
  z.strictObject({ outcome: z.literal('truncated'), detail: z.string() }),
]);
export type RebuildReply = z.infer<typeof RebuildReply>;

/** `analytics.cancel-rebuild`. A rebuild that has ended stays as it is. */
export const CancelRebuild = z.strictObject({ name: ProjectionName });
export type CancelRebuild = z.infer<typeof CancelRebuild>;
export const CancelRebuildReply = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('accepted'), projection: ProjectionStatus }),
  z.strictObject({ outcome: z.literal('not_found') }),
]);
export type CancelRebuildReply = z.infer<typeof CancelRebuildReply>;
