import { Logger } from '@nestjs/common';
import { Intake } from '@tandem/contracts/intake';
import { readIgnoringUnknown } from '@tandem/contracts/later-versions';
import type { Check } from '@tandem/telemetry/health';
import { within } from '@tandem/transports/rabbitmq/connection';
import { FanoutListener } from '@tandem/transports/rabbitmq/fanout';
import { NOTHING_DONE, ProblemError, retryAfter } from '../problem.ts';

/** How long a caller should leave a paused system alone. */
const PAUSED_RETRY_MS = 30_000;
/** How long an order waits to be told whether it is taken, before it is refused. */
const KNOWN_MS_MAX = 1_000;

export interface IntakeOptions {
  rabbitMqUrl: string;
  /** The exchange on which switches are told. */
  exchange: string;
  /** Asks orders, which keeps the switch. */
  ask: () => Promise<Intake>;
  /** How often it is asked again though nothing was heard. */
  refreshMs: number;
  /** The pause after an attempt to ask that failed. */
  retryMs: number;
}

/**
 * Whether this gateway takes new orders, as the operator has it. Switches are heard on an exchange; what was said before, or
 * while the connection was away, is asked for. No order is taken before that: not to know is to refuse.
 */
export class IntakeState {
  readonly #options: IntakeOptions;
  readonly #logger = new Logger('Intake');
  #intake: Intake | undefined;
  /** Counts the times of listening; undefined while nothing is heard. */
  #listening: number | undefined;
  #times = 0;
  /** Resolved while no switch can have been missed: it was asked since listening, and what was said since was heard. */
  #known = Promise.withResolvers<void>();
  #isKnown = false;
  #failure: string | undefined;
  #listener: FanoutListener | undefined;
  #asking: Promise<Error | undefined> | undefined;
  #next: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Starts listening and asks once; what is missing then comes later by itself. Never rejects. */
  async start(): Promise<void> {
    const { rabbitMqUrl: url, exchange } = this.#options;
    this.#listener = new FanoutListener({
      url,
      exchange,
      name: `gateway hears ${exchange}`,
      onMessage: (value) => this.#hear(value),
      onLost: () => {
        this.#listening = undefined;
        if (this.#isKnown) this.#known = Promise.withResolvers();
        this.#isKnown = false;
      },
      onListening: () => {
        this.#listening = this.#times += 1;
        // An answer that is under way may be of before.
        void Promise.resolve(this.#asking).then(() => this.#ask());
      },
      onFailure: (reason) => this.#logger.warn(`Switches are not heard: ${reason}`),
    });
    await this.#ask();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#next);
    await this.#listener?.close();
  }

  /**
   * Resolves when new orders are taken. While it is not known, orders is asked first.
   *
   * @throws ProblemError 503 while they are not, or orders does not say soon whether they are.
   */
  async expectOpen(): Promise<void> {
    if (!this.#isKnown) {
      const known = this.#known.promise;
      const failed = this.#ask().then((failure) => (failure === undefined ? known : undefined));
      await within(KNOWN_MS_MAX, Promise.race([known, failed]));
      if (!this.#isKnown)
        throw new ProblemError('unavailable', `${NOTHING_DONE}: it is not known whether new orders are taken`, {
          headers: retryAfter(1_000),
        });
    }
    if (this.#intake?.paused !== true) return;
    const { reason } = this.#intake;
    const detail = `New orders are not taken at the moment${reason === undefined ? '' : `: ${reason}`}`;
    throw new ProblemError('intake_paused', detail, { headers: retryAfter(PAUSED_RETRY_MS) });
  }

  /** For readiness: paused is as the operator wants it; only not to know is worth telling. */
  check(): Check {
    if (this.#failure === undefined && this.#isKnown) return { status: 'ok' };
    const reason = this.#failure ?? 'switches are not heard';
    return { status: 'degraded', reason: `whether orders are taken is not known: ${reason}` };
  }

  #hear(value: unknown): undefined {
    const parsed = readIgnoringUnknown(Intake, value);
    if (!parsed.success) {
      this.#logger.warn(`What was heard is no switch: ${parsed.error.message}`);
      return undefined;
    }
    const { data: intake } = parsed;
    if (this.#intake !== undefined && intake.revision <= this.#intake.revision) return undefined;
    if (intake.paused !== (this.#intake?.paused ?? false))
      this.#logger.log(
        intake.paused ? `New orders are not taken: ${intake.reason ?? 'no reason given'}` : 'New orders are taken',
      );
    this.#intake = intake;
    return undefined;
  }

  /** Asks, once for all who want to know at the moment, and resolves with why there was no answer, if there was none. */
  #ask(): Promise<Error | undefined> {
    this.#asking ??= this.#askOnce().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #askOnce(): Promise<Error | undefined> {
    const { ask, refreshMs, retryMs } = this.#options;
    const listening = this.#listening;
    const failure = await ask().then(
      (intake) => this.#hear(intake),
      (error: Error) => error,
    );
    this.#failure = failure?.message;
    if (failure === undefined && listening !== undefined && listening === this.#listening) {
      this.#isKnown = true;
      this.#known.resolve();
    }
    clearTimeout(this.#next);
    if (!this.#closed)
      this.#next = setTimeout(() => void this.#ask(), failure === undefined ? refreshMs : retryMs).unref();
    return failure;
  }
}
