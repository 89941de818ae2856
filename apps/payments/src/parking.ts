import { AuthoriseJob, PAYMENT_JOBS, RefundJob, type PaymentJob } from '@tandem/contracts/payment-jobs';
import { transaction } from '@tandem/postgres/transaction';
import { readJob } from '@tandem/transports/rabbitmq/job-message';
import type { ParkedJob } from '@tandem/transports/rabbitmq/job-server';
import type { JobTopology } from '@tandem/transports/rabbitmq/job-topology';
import { insertParked, type Redrivable } from '@tandem/transports/rabbitmq/parked-messages';
import type { UnreadableMessage } from '@tandem/transports/rabbitmq/rabbitmq-server';
import type { Pool } from 'pg';
import type { PaymentRecords } from './payment-records.ts';

/**
 * Keeps a job that was given up, before it is taken off its queue. The row and the mark that keeps the job from running again
 * commit together: a mark without a row would hide the job for ever.
 */
export async function parkJob(
  pool: Pool,
  records: PaymentRecords,
  { queues, dead }: JobTopology,
  message: ParkedJob,
): Promise<void> {
  const job = paymentJobOf(message.content);
  // What the broker has given up goes back to where it came from.
  const { method, delivery } = job?.data ?? {};
  const home = queues.find(({ headers }) => headers['method'] === method && headers['delivery'] === delivery);
  const { attempt: attempts, firstFailedAt, queue, reason, content, properties } = message;
  await transaction(pool, async (client) => {
    await insertParked(client, 'parked', {
      reason,
      content,
      properties,
      queue: queue === dead ? (home?.name ?? queue) : queue,
      attempts,
      orderId: job?.data.orderId,
      type: job?.kind,
      firstFailedAt,
      traceparent: properties.headers?.['traceparent'],
    });
    if (job !== undefined) await records.park(client, job);
  });
}

/**
 * The job again, as if for the first time. Its mark goes first: killed before the job is published, its row still waits, and the
 * sweep publishes it.
 */
export async function redrivableJob(
  records: PaymentRecords,
  { content }: Pick<UnreadableMessage, 'content'>,
): Promise<Redrivable | { refused: string }> {
  const job = paymentJobOf(content);
  if (job === undefined) return { refused: 'it still cannot be read' };
  await records.unpark(job);
  const { method, delivery } = job.data;
  return { content, contentType: 'application/json', headers: { method, delivery } };
}

/**
 * Marks the job of a row that is about to be dropped. A redrive that failed has taken the mark away, and the sweep would run the
 * job though somebody dropped it.
 */
export async function holdDroppedJob(records: PaymentRecords, row: bigint, content: Buffer): Promise<void> {
  const job = paymentJobOf(content);
  if (job !== undefined) await records.hold(job, row);
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
