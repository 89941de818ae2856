import { z } from 'zod';
import { Amount, Currency } from './money.ts';
import { Delivery, OrderId, PaymentMethod } from './order.ts';
import { Instant, identifier } from './text.ts';
import type { Topology } from './topology.ts';

/** The kinds of payment jobs: the routing keys under which they are published, and the patterns of their handlers. */
export const PAYMENT_JOBS = { authorise: 'authorise', refund: 'refund' } as const;

const common = {
  orderId: OrderId,
  amount: Amount,
  currency: Currency,
  method: PaymentMethod,
  delivery: Delivery,
  /** When the order was placed or its refund requested, or when the job was published again because nothing came of it. */
  since: Instant,
};

// A worker of an earlier version leaves out what it does not know: what must not be left out is a kind of its own.

/** Asks for the payment of a whole order. */
export const AuthoriseJob = z.object(common);
export type AuthoriseJob = z.infer<typeof AuthoriseJob>;

/** Asks for money back, of the payment named. */
export const RefundJob = z.object({ ...common, refundId: z.int().min(1), paymentId: identifier(64) });
export type RefundJob = z.infer<typeof RefundJob>;

export type PaymentJob =
  { kind: typeof PAYMENT_JOBS.authorise; data: AuthoriseJob } | { kind: typeof PAYMENT_JOBS.refund; data: RefundJob };

/**
 * Names what a job is about for ever: the key under which the provider knows it. The same job published twice has the same
 * key, and no other job has it.
 */
export function paymentKey({ kind, data }: PaymentJob): string {
  return kind === PAYMENT_JOBS.refund ? `${data.orderId}:refund:${data.refundId}` : `${data.orderId}:authorise`;
}

/** A job as it is published: by its kind, and by the headers that `payments.by-method` routes by. */
export function jobOf(job: PaymentJob) {
  const { method, delivery } = job.data;
  return { kind: job.kind, key: paymentKey(job), data: job.data, headers: { method, delivery } };
}

/** Everything that payment jobs need on a broker: whoever publishes declares it, and so does whoever consumes. */
export function paymentJobsTopology({ exchanges, queues }: Topology) {
  const queue = (name: string, method: string, delivery: string) => ({ name, headers: { method, delivery } });
  return {
    exchange: exchanges.paymentJobs,
    kinds: Object.values(PAYMENT_JOBS),
    byHeaders: exchanges.paymentsByMethod,
    queues: [
      queue(queues.paymentsCard, 'card', 'standard'),
      queue(queues.paymentsInvoice, 'invoice', 'standard'),
      queue(queues.paymentsCardExpress, 'card', 'express'),
      queue(queues.paymentsInvoiceExpress, 'invoice', 'express'),
    ],
    // Growing waits, each on a queue of its own, because a queue expires its messages in order only.
    retries: [
      { name: queues.paymentsRetry1000, waitMs: 1_000 },
      { name: queues.paymentsRetry2000, waitMs: 2_000 },
      { name: queues.paymentsRetry4000, waitMs: 4_000 },
      { name: queues.paymentsRetry8000, waitMs: 8_000 },
      { name: queues.paymentsRetry16000, waitMs: 16_000 },
    ],
    dead: queues.paymentsDead,
  };
}
