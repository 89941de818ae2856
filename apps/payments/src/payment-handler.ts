import { setTimeout as pause } from 'node:timers/promises';
import type { CommandReply } from '@tandem/contracts/order-commands';
import type { GetOrderReply } from '@tandem/contracts/order-queries';
import { PAYMENT_JOBS, paymentKey, type PaymentJob } from '@tandem/contracts/payment-jobs';
import { ORDER_COMMANDS, ORDER_QUERIES } from '@tandem/contracts/topology';
import { isConnectionLost } from '@tandem/postgres/errors';
import { RemoteError } from '@tandem/transports/rabbitmq/errors';
import { JobError, JobFailedError, JobHopelessError, JobNotStartedError } from '@tandem/transports/rabbitmq/job-errors';
import type { JobContext } from '@tandem/transports/rabbitmq/job-server';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { v5 as uuidv5 } from 'uuid';
import { REDRIVEN } from './parking.ts';
import type { PaymentRecord, PaymentRecords } from './payment-records.ts';
import {
  ProviderAwayError,
  ProviderRefusedError,
  ProviderRestsError,
  type Outcome,
  type ProviderClient,
} from './provider-client.ts';

export interface PaymentHandlerOptions {
  records: PaymentRecords;
  provider: ProviderClient;
  /** Commands to orders. */
  commands: RabbitMqClient;
  /** Questions to orders. */
  queries: RabbitMqClient;
  /** How long the provider knows an idempotency key. */
  windowMs: number;
}

/** The namespace of the command ids made here (RFC 9562, version 5). */
const COMMANDS = '5f0c3f0e-6f0b-4b60-9d43-6b7a3c1f2d11';
/** A job that begins so late is asked for again, or was held up by an outage: the order may have moved on. */
const LATE_MS = 60_000;
const ASK_PAUSE_MS_MIN = 100;
const ASK_PAUSE_MS_MAX = 5_000;
const STORE_PAUSE_MS = 1_000;

/**
 * Runs payment jobs: asks the provider once for each key, writes down what it says, and tells orders until orders has taken
 * note. Every step may be repeated by another worker at any time: the provider knows the key, the first outcome counts, and
 * the command has the same id.
 */
export class PaymentHandler {
  constructor(private readonly options: PaymentHandlerOptions) {}

  /** @throws JobFailedError, JobNotStartedError, JobHopelessError, which say what becomes of the job. */
  async run(job: PaymentJob, context: JobContext): Promise<void> {
    try {
      await this.#settle(job, context);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof ProviderAwayError) throw new JobFailedError(message, { cause: error });
      if (error instanceof ProviderRestsError) throw new JobNotStartedError(message, { cause: error });
      if (error instanceof ProviderRefusedError) throw new JobHopelessError(message, { cause: error });
      if (isConnectionLost(error)) {
        await pause(STORE_PAUSE_MS, undefined, { signal: context.signal }).catch(() => undefined);
        throw new JobNotStartedError('Postgres is away', { cause: error });
      }
      throw error instanceof JobError ? error : new JobFailedError(message, { cause: error });
    }
  }

  async #settle(job: PaymentJob, context: JobContext): Promise<void> {
    const { records } = this.options;
    const key = paymentKey(job);
    const redriven = context.message.properties.headers?.[REDRIVEN] !== undefined;
    const record = await records.begin(job, redriven);
    // Told already, or somebody has to decide first.
    if (record.told || record.parked) return;
    const outcome = record.outcome ?? (await this.#outcome(job, key, record, context));
    if (outcome !== undefined) await this.#tell(job, key, outcome, context);
    await records.told(key);
  }

  /** What the provider says; undefined when it need not be asked any more. */
  async #outcome(
    job: PaymentJob,
    key: string,
    { fresh, ageMs }: PaymentRecord,
    context: JobContext,
  ): Promise<Outcome | undefined> {
    const { provider, records, windowMs } = this.options;
    const isRefund = job.kind === PAYMENT_JOBS.refund;
    // A key that the provider has forgotten would be a second charge.
    const found = fresh || ageMs < windowMs ? undefined : await provider.find(isRefund ? 'refunds' : 'charges', key);
    if (found !== undefined) return records.decide(key, found);
    // Only of what nobody has begun is it sure that there is no charge to be told of.
    if (fresh && !isRefund && (await this.#isMoot(job, context))) return undefined;
    const { amount, currency, method } = job.data;
    const outcome = isRefund
      ? await provider.refund(key, { charge: job.data.paymentId, amount, currency })
      : await provider.charge(key, { amount, currency, method });
    return records.decide(key, outcome);
  }

  /** Whether an order that waited for long has been paid or cancelled meanwhile. */
  async #isMoot({ data }: PaymentJob, context: JobContext): Promise<boolean> {
    if (Date.now() - Date.parse(data.since) < LATE_MS) return false;
    const { order } = await this.#ask<GetOrderReply>(
      this.options.queries,
      ORDER_QUERIES.get,
      { orderId: data.orderId },
      context,
    );
    return order !== null && order.status !== 'placed';
  }

  async #tell(job: PaymentJob, key: string, outcome: Outcome, context: JobContext): Promise<void> {
    const { pattern, body } = commandOf(job, outcome);
    // The same command whoever sends it and however often.
    const message = { commandId: uuidv5(`${pattern} ${key}`, COMMANDS), orderId: job.data.orderId, body };
    const reply = await this.#ask<CommandReply>(this.options.commands, pattern, message, context);
    if (reply.outcome === 'accepted') return;
    const { code } = reply.rejection;
    // A decline of an order that is cancelled already says nothing new. Anything else is money that no order accounts for.
    if (pattern === ORDER_COMMANDS.recordDecline && code !== 'order_not_found') return;
    if (code === 'already_paid' && outcome.status === 'approved') return this.#giveBack(job, key, outcome.id);
    throw new JobHopelessError(`${pattern} was refused: ${code}`);
  }

  /** The order was paid by another payment meanwhile: this one goes back, once. */
  async #giveBack({ data }: PaymentJob, key: string, charge: string): Promise<void> {
    const { amount, currency } = data;
    const outcome = await this.options.provider.refund(`${key}:surplus`, { charge, amount, currency });
    if (outcome.status === 'declined')
      throw new JobHopelessError(`A surplus charge was not given back: ${outcome.reason}`);
  }

  /** Asks orders until it answers: it may be away for as long as it likes, and no attempt is counted. */
  async #ask<T>(client: RabbitMqClient, pattern: string, message: unknown, context: JobContext): Promise<T> {
    const { traceparent, signal } = context;
    for (let pauseMs = ASK_PAUSE_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, ASK_PAUSE_MS_MAX)) {
      try {
        return await client.request<T>(pattern, message, traceparent === undefined ? {} : { traceparent });
      } catch (error) {
        // Of orders that are older than this service, whoever replaces them will know the pattern.
        if (error instanceof RemoteError && error.code !== 'unknown_pattern') {
          const reason = `${pattern}: ${error.message}`;
          throw error.code === 'invalid_message'
            ? new JobHopelessError(reason, { cause: error })
            : new JobFailedError(reason, { cause: error });
        }
      }
      await pause(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) throw new JobNotStartedError('The worker stops');
    }
  }
}

function commandOf(job: PaymentJob, outcome: Outcome): { pattern: string; body: unknown } {
  const { amount, currency } = job.data;
  if (job.kind === PAYMENT_JOBS.refund) {
    if (outcome.status === 'declined') throw new JobHopelessError(`The refund was declined: ${outcome.reason}`);
    return { pattern: ORDER_COMMANDS.recordRefund, body: { refundId: job.data.refundId, amount, currency } };
  }
  if (outcome.status === 'declined') return { pattern: ORDER_COMMANDS.recordDecline, body: { reason: outcome.reason } };
  return { pattern: ORDER_COMMANDS.recordPayment, body: { paymentId: outcome.id, amount, currency } };
}
