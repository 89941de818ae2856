import { z } from 'zod';
import { CommandId } from './order-commands.ts';
import { Reason } from './order.ts';
import { Instant, newText } from './text.ts';

/** The body of `POST /v1/admin/intake`: whether new orders are refused, and why. */
export const SwitchIntake = z
  .strictObject({ paused: z.boolean(), reason: newText(500).optional() })
  .meta({ id: 'SwitchIntake' });
export type SwitchIntake = z.infer<typeof SwitchIntake>;

/** `intake.set` */
export const SwitchIntakeMessage = z.strictObject({ commandId: CommandId, body: SwitchIntake });
export type SwitchIntakeMessage = z.infer<typeof SwitchIntakeMessage>;

/** `intake.get` */
export const GetIntake = z.strictObject({});
export type GetIntake = z.infer<typeof GetIntake>;

/**
 * Whether new orders are taken: what goes to the exchange `operator` after every switch, and the answer to `intake.get`. Of two,
 * the one of the higher revision is the newer, however they came.
 */
export const Intake = z
  .strictObject({
    paused: z.boolean(),
    reason: Reason.optional(),
    revision: z.int().min(0).meta({ description: 'How often it has been switched' }),
    since: Instant,
  })
  .meta({ id: 'Intake' });
export type Intake = z.infer<typeof Intake>;

/** The answer to `intake.set`: what this command has made of it, or that its id belongs to another. */
export const SwitchIntakeReply = z.discriminatedUnion('outcome', [
  z.strictObject({ outcome: z.literal('accepted'), intake: Intake, replayed: z.boolean() }),
  z.strictObject({ outcome: z.literal('rejected'), rejection: z.strictObject({ code: z.literal('key_reused') }) }),
]);
export type SwitchIntakeReply = z.infer<typeof SwitchIntakeReply>;
