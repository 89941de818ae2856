import { setTimeout as pause } from 'node:timers/promises';
import type { CommandReply } from '@tandem/contracts/order-commands';
import { PaymentWantedReply, type GetOrderReply, type PaymentWanted } from '@tandem/contracts/order-queries';
import { PAYMENT_JOBS, paymentKey, type PaymentJob } from '@tandem/contracts/payment-jobs';
import { ORDER_COMMANDS, ORDER_QUERIES } from '@tandem/contracts/topology';
import { isConnectionLost, isNotDone } from '@tandem/postgres/errors';
import { RemoteError } from '@tandem/transports/rabbitmq/errors';
import {
  JobDeferredError,
  JobError,
  JobFailedError,
  JobHopelessError,
  JobNotStartedError,
} from '@tandem/transports/rabbitmq/job-errors';
import type { JobContext } from '@tandem/transports/rabbitmq/job-server';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { v5 as uuidv5 } from 'uuid';
import type { PaymentRecord, PaymentRecords } from './payment-records.ts';
import type { Charge, Outcome, ProviderClient, Refund } from './provider-client.ts';
import { ProviderError } from './provider-error.ts';

export interface PaymentHandlerOptions {
  records: PaymentRecords;
  provider: ProviderClient;
  /** Commands to orders. */
  commands: RabbitMqClient;
  /** Questions to orders. */
  queries: RabbitMqClient;
  /** How long the provider knows an idempotency key. */
  windowMs: number;
  /** After so long the provider has certainly decided whatever it was asked. */
  settleMs: number;
  /** How long a job waits while the provider is left alone. */
  restMs: number;
}

/** The namespace of the command ids made here (RFC 9562, version 5). */
const COMMANDS = '5f0c3f0e-6f0b-4b60-9d43-6b7a3c1f2d11';
const ASK_PAUSE_MS_MIN = 100;
const ASK_PAUSE_MS_MAX = 5_000;
const STORE_PAUSE_MS = 1_000;
/** A key that the provider has been busy with for so long costs attempts from then on. */
const BUSY_MS_MAX = 900_000;
const BUSY_PAUSE_MS_MAX = 16_000;

/**
 * Runs payment jobs: asks orders whether the money is wanted, asks the provider once for each key, writes down what it says, and
 * tells orders until orders has taken note. Every step may be repeated by another worker at any time: the provider knows the key,
 * the first outcome counts, and the command has the same id.
 */
export class PaymentHandler {
  constructor(private readonly options: PaymentHandlerOptions) {}

  /** @throws JobFailedError, JobNotStartedError, JobDeferredError, JobHopelessError, which say what becomes of the job. */
  async run(job: PaymentJob, context: JobContext): Promise<void> {
    try {
      await this.#settle(job, context);
    } catch (error) {
      if (error instanceof JobError) throw error;
      if (error instanceof ProviderError) throw await this.#jobErrorOf(error, paymentKey(job));
      if (isConnectionLost(error) || isNotDone(error)) {
        await pause(STORE_PAUSE_MS, undefined, { signal: context.signal }).catch(() => undefined);
        throw new JobNotStartedError('Postgres is away', { cause: error });
      }
      throw new JobFailedError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  async #settle(job: PaymentJob, context: JobContext): Promise<void> {
    const { records } = this.options;
    const key = paymentKey(job);
    const wanted = await this.#wanted(job, context);
    const record = wanted === 'yes' ? await records.begin(job) : await records.read(key);
    // Told already, or somebody has to decide first.
    if (record?.told === true || record?.parked === true) return;
    if (record !== undefined && record.waitMs > 0)
      throw new JobDeferredError('The provider asked to wait', record.waitMs);
    const outcome = record?.outcome ?? (await this.#outcome(job, key, wanted, record));
    if (outcome !== undefined) await this.#tell(job, key, outcome, context);
    await records.told(job);
  }

  /** What the provider says; undefined when the money is not wanted any more. */
  async #outcome(
    job: PaymentJob,
    key: string,
    wanted: PaymentWantedReply['wanted'],
    record: PaymentRecord | undefined,
  ): Promise<Outcome | undefined> {
    const { provider, records, windowMs, settleMs } = this.options;
    const { amount, currency, method } = job.data;
    // Providers refuse to move nothing.
    if (amount === 0 && wanted === 'yes') return records.decide(key, { status: 'approved', id: NOTHING_TO_PAY });
    const asked: Charge | Refund =
      job.kind === PAYMENT_JOBS.refund
        ? { charge: job.data.paymentId, amount, currency }
        : { amount, currency, method };
    if (record !== undefined && !record.fresh) {
      const found = await provider.find(key, asked);
      if (found !== undefined) return records.decide(key, found);
    }
    if (wanted !== 'yes') {
      // What was asked for lately may still be decided.
      if (record !== undefined && record.askedMs < settleMs)
        throw new JobDeferredError('The provider may still be deciding', settleMs - record.askedMs);
      if (wanted === 'no') return undefined;
      throw new JobHopelessError(
        wanted === 'unknown'
          ? 'Not asked of the provider: orders does not know it'
          : `Not asked of the provider: orders knows it with other values than ${amount} ${currency}`,
      );
    }
    // A key that the provider forgets between two tries is a second charge.
    const isRepeatable = (record?.ageMs ?? 0) + provider.askMsMax < windowMs;
    try {
      const outcome =
        'charge' in asked
          ? await provider.refund(key, asked, isRepeatable)
          : await provider.charge(key, asked, isRepeatable);
      return await records.decide(key, outcome);
    } catch (error) {
      if (!(error instanceof ProviderError) || !(error.kind === 'refused' || error.kind === 'contradicts')) throw error;
      // Nobody looks at it again by itself, so an answer to somebody else's request must not decide.
      const found = await provider.find(key, asked);
      if (found === undefined) throw error;
      return records.decide(key, found);
    }
  }

  /** Whether orders still waits for the money. An order that is not known is never taken for one that waits. */
  async #wanted(job: PaymentJob, context: JobContext): Promise<PaymentWantedReply['wanted']> {
    const { orderId, amount, currency } = job.data;
    const refund =
      job.kind === PAYMENT_JOBS.refund ? { refundId: job.data.refundId, paymentId: job.data.paymentId } : undefined;
    const query: PaymentWanted = { orderId, amount, currency, refund };
    const { queries } = this.options;
    const reply = await this.#ask<unknown>(queries, ORDER_QUERIES.paymentWanted, query, context, null);
    if (reply !== null) return PaymentWantedReply.parse(reply).wanted;
    // The version before this one can show the order. It was never asked about refunds, which come from an event of the order.
    if (refund !== undefined) return 'yes';
    const { order } = await this.#ask<GetOrderReply>(queries, ORDER_QUERIES.get, { orderId }, context);
    if (order === null) return 'unknown';
    return order.status === 'placed' ? 'yes' : 'no';
  }

  async #tell(job: PaymentJob, key: string, outcome: Outcome, context: JobContext): Promise<void> {
    const { pattern, body } = commandOf(job, outcome);
    // The same command whoever sends it and however often.
    const message = { commandId: uuidv5(`${pattern} ${key}`, COMMANDS), orderId: job.data.orderId, body };
    const reply = await this.#ask<CommandReply>(this.options.commands, pattern, message, context);
    if (reply.outcome === 'accepted') return;
    const { code } = reply.rejection;
    // A decline of what is settled already says nothing new. Anything else is money that no order accounts for.
    if (pattern === ORDER_COMMANDS.recordDecline && code !== 'order_not_found') return;
    if (pattern === ORDER_COMMANDS.recordRefundDecline && code === 'refund_settled') return;
    if (code === 'already_paid' && outcome.status === 'approved') return this.#giveBack(job, key, outcome.id);
    throw new JobHopelessError(`${pattern} was refused: ${code}`);
  }

  /** The order was paid by another payment meanwhile: this one goes back, once. */
  async #giveBack({ data }: PaymentJob, key: string, charge: string): Promise<void> {
    const { provider } = this.options;
    const surplus = `${key}:surplus`;
    const refund = { charge, amount: data.amount, currency: data.currency };
    const outcome = (await provider.find(surplus, refund)) ?? (await provider.refund(surplus, refund, false));
    if (outcome.status === 'declined')
      throw new JobHopelessError(`A surplus charge was not given back: ${outcome.reason}`);
  }

  /** What becomes of a job that the provider gave no outcome for. Only what the provider has not answered is an attempt. */
  async #jobErrorOf(error: ProviderError, key: string): Promise<JobError> {
    const { kind, message, retryAfterMs } = error;
    const { records, restMs } = this.options;
    switch (kind) {
      case 'away':
      case 'denied':
        return new JobFailedError(message, { cause: error });
      case 'rests':
        return new JobDeferredError(message, Math.max(restMs, retryAfterMs), { cause: error });
      case 'throttled':
        // Not in a header of the job: another copy of it must wait, too.
        await records.wait(key, retryAfterMs);
        return new JobDeferredError(message, retryAfterMs, { cause: error });
      case 'busy': {
        const { ageMs } = (await records.read(key)) ?? { ageMs: 0 };
        return ageMs < BUSY_MS_MAX
          ? new JobDeferredError(message, Math.min(ageMs / 4, BUSY_PAUSE_MS_MAX), { cause: error })
          : new JobFailedError(message, { cause: error });
      }
      case 'refused':
      case 'contradicts':
        return new JobHopelessError(message, { cause: error });
    }
  }

  /** Asks orders until it answers: it may be away for as long as it likes, and no attempt is counted. */
  async #ask<T>(
    client: RabbitMqClient,
    pattern: string,
    message: unknown,
    context: JobContext,
    ifUnknownPattern?: T,
  ): Promise<T> {
    const { traceparent, signal } = context;
    for (let pauseMs = ASK_PAUSE_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, ASK_PAUSE_MS_MAX)) {
      try {
        return await client.request<T>(pattern, message, traceparent === undefined ? {} : { traceparent });
      } catch (error) {
        const isOlder = error instanceof RemoteError && error.code === 'unknown_pattern';
        if (isOlder && ifUnknownPattern !== undefined) return ifUnknownPattern;
        // An older version of orders may not know this pattern: retry.
        if (error instanceof RemoteError && !isOlder) {
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

/** What stands for the payment of an order that costs nothing. */
const NOTHING_TO_PAY = 'nothing-to-pay';

function commandOf(job: PaymentJob, outcome: Outcome): { pattern: string; body: unknown } {
  const { amount, currency } = job.data;
  if (job.kind === PAYMENT_JOBS.refund) {
    const refund = { refundId: job.data.refundId, amount, currency };
    return outcome.status === 'declined'
      ? { pattern: ORDER_COMMANDS.recordRefundDecline, body: { ...refund, reason: outcome.reason } }
      : { pattern: ORDER_COMMANDS.recordRefund, body: refund };
  }
  if (outcome.status === 'declined') return { pattern: ORDER_COMMANDS.recordDecline, body: { reason: outcome.reason } };
  return { pattern: ORDER_COMMANDS.recordPayment, body: { paymentId: outcome.id, amount, currency } };
}
