import { OutcomeUnknownError } from '@tandem/transports/rabbitmq/errors';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ProblemError } from './problem.ts';
import type { Trace } from './trace.ts';

/** How a command is sent: with which key it can be repeated, and in which trace it runs. */
export interface Sending {
  key: string;
  trace: Trace;
  /** The caller has chosen the key, so that it may have been sent before. */
  mayRepeat: boolean;
}

/**
 * Sends another service something that changes what it keeps.
 *
 * @throws ProblemError 504 with the key when it is not known what became of it; NotTakenError and RemoteError as the client does.
 */
export async function command<T>(
  client: RabbitMqClient,
  pattern: string,
  message: object,
  { key, trace }: Sending,
): Promise<T> {
  try {
    return await client.request<T>(pattern, message, trace);
  } catch (error) {
    if (!(error instanceof OutcomeUnknownError)) throw error;
    const detail = 'The request was handed on and no answer came: repeating it with this Idempotency-Key is safe';
    throw new ProblemError('outcome_unknown', detail, { members: { idempotencyKey: key }, cause: error });
  }
}
