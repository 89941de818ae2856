import { Logger } from '@nestjs/common';
import { Intake } from '@tandem/contracts/intake';
import { readIgnoringUnknown } from '@tandem/contracts/later-versions';
import type { Check } from '@tandem/telemetry/health';
import { NotTakenError } from '@tandem/transports/rabbitmq/errors';
import { FanoutListener } from '@tandem/transports/rabbitmq/fanout';
import { ProblemError, retryAfter } from '../problem.ts';

/** How long a caller should leave a paused system alone. */
const PAUSED_RETRY_MS = 30_000;

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
 * while the connection was away, is asked for. No order is taken before that: a gateway that starts during a pause never lets one
 * through.
 */
export class IntakeState {
  readonly #options: IntakeOptions;
  readonly #logger = new Logger('Intake');
  #intake: Intake | undefined;
  /** Orders was there to be asked, though it may not have said. */
  #asked = false;
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
      onListening: () => {
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
   * Resolves when new orders are taken. While it is not known yet, orders is asked first.
   *
   * @throws ProblemError 503 while they are not; NotTakenError when orders cannot be reached to say.
   */
  async expectOpen(): Promise<void> {
    if (!this.#asked) {
      const failure = await this.#ask();
      if (failure instanceof NotTakenError) throw failure;
    }
    if (this.#intake?.paused !== true) return;
    const { reason } = this.#intake;
    const detail = `New orders are not taken at the moment${reason === undefined ? '' : `: ${reason}`}`;
    throw new ProblemError('intake_paused', detail, { headers: retryAfter(PAUSED_RETRY_MS) });
  }

  /** For readiness: paused is as the operator wants it; only not to know is worth telling. */
  check(): Check {
    if (this.#failure === undefined) return { status: 'ok' };
    return { status: 'degraded', reason: `whether orders are taken could not be asked: ${this.#failure}` };
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
    const failure = await ask().then(
      (intake) => this.#hear(intake),
      (error: Error) => error,
    );
    this.#failure = failure?.message;
    // What does not reach orders would not bring an order there either.
    this.#asked ||= !(failure instanceof NotTakenError);
    clearTimeout(this.#next);
    if (!this.#closed)
      this.#next = setTimeout(() => void this.#ask(), failure === undefined ? refreshMs : retryMs).unref();
    return failure;
  }
}
