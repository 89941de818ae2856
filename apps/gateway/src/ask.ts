import { OutcomeUnknownError } from '@tandem/transports/rabbitmq/errors';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ProblemError } from './problem.ts';
import type { Trace } from './trace.ts';

/**
 * Asks another service something that changes nothing there.
 *
 * @throws ProblemError 504 when no answer came in time; NotTakenError and RemoteError as the client does.
 */
export async function ask<T>(
  client: RabbitMqClient,
  pattern: string,
  query: object,
  options: Trace & { deadlineMs?: number },
): Promise<T> {
  try {
    return await client.request<T>(pattern, query, options);
  } catch (error) {
    if (error instanceof OutcomeUnknownError)
      throw new ProblemError('no_answer', 'No answer came in time', { cause: error });
    throw error;
  }
}
