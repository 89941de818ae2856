import { z } from 'zod';
import { CommandId } from './order-commands.ts';
import { Reason } from './order.ts';
import { Instant } from './text.ts';

/** The body of `POST /v1/admin/intake`: whether new orders are refused, and why. */
export const SwitchIntake = z
  .strictObject({ paused: z.boolean(), reason: Reason.optional() })
  .meta({ id: 'SwitchIntake' });
export type SwitchIntake = z.infer<typeof SwitchIntake>;

/** `intake.set` */
export const SwitchIntakeMessage = z.strictObject({ commandId: CommandId, body: SwitchIntake });
export type SwitchIntakeMessage = z.infer<typeof SwitchIntakeMessage>;

/** `intake.get` */
export const GetIntake = z.strictObject({});
export type GetIntake = z.infer<typeof GetIntake>;

/**
 * Whether new orders are taken: the answer to both, and what goes to the exchange `operator` after every switch. A higher
 * `version` is the newer state, however it came.
 */
export const Intake = z
  .strictObject({
    paused: z.boolean(),
    reason: Reason.optional(),
    version: z.int().min(0).meta({ description: 'How often it has been switched' }),
    since: Instant,
  })
  .meta({ id: 'Intake' });
export type Intake = z.infer<typeof Intake>;
