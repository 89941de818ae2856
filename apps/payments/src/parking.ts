import { AuthoriseJob, PAYMENT_JOBS, RefundJob, paymentKey, type PaymentJob } from '@tandem/contracts/payment-jobs';
import { readJob } from '@tandem/transports/rabbitmq/job-message';
import type { ParkedJob } from '@tandem/transports/rabbitmq/job-server';
import type { JobTopology } from '@tandem/transports/rabbitmq/job-topology';
import type { ParkedMessages, Redrivable } from '@tandem/transports/rabbitmq/parked-messages';
import type { UnreadableMessage } from '@tandem/transports/rabbitmq/rabbitmq-server';
import type { PaymentRecords } from './payment-records.ts';

/** The header of a job that somebody has sent back to its queue. */
export const REDRIVEN = 'x-redriven';

/** Keeps a job that was given up, as a row, before it is taken off its queue. */
export async function parkJob(
  parked: ParkedMessages,
  records: PaymentRecords,
  { queues, dead }: JobTopology,
  message: ParkedJob,
): Promise<void> {
  const job = paymentJobOf(message.content);
  // What the broker has given up goes back to where it came from.
  const { method, delivery } = job?.data ?? {};
  const home = queues.find(({ headers }) => headers['method'] === method && headers['delivery'] === delivery);
  const { attempt: attempts, firstFailedAt, queue, reason, content, properties } = message;
  const traceparent: unknown = properties.headers?.['traceparent'];
  // Marked first: a mark without a row is undone by the next job that somebody redrives, a row without a mark by nothing.
  if (job !== undefined) await records.parked(paymentKey(job));
  await parked.park({
    reason,
    content,
    properties,
    queue: queue === dead ? (home?.name ?? queue) : queue,
    attempts,
    ...(job !== undefined && { orderId: job.data.orderId, type: job.kind }),
    firstFailedAt,
    traceparent,
  });
}

/** The job again, as if for the first time. */
export function redrivableJob({ content }: Pick<UnreadableMessage, 'content'>): Redrivable | { refused: string } {
  const job = paymentJobOf(content);
  if (job === undefined) return { refused: 'it still cannot be read' };
  const { method, delivery } = job.data;
  return { content, contentType: 'application/json', headers: { method, delivery, [REDRIVEN]: 'yes' } };
}

function paymentJobOf(content: Buffer): PaymentJob | undefined {
  const { kind, data } = readJob(content) ?? {};
  if (kind === PAYMENT_JOBS.authorise) {
    const read = AuthoriseJob.safeParse(data);
    return read.success ? { kind, data: read.data } : undefined;
  }
  if (kind !== PAYMENT_JOBS.refund) return undefined;
  const read = RefundJob.safeParse(data);
  return read.success ? { kind, data: read.data } : undefined;
}
