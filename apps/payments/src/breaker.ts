import { ProviderError } from './provider-error.ts';

/** So many failures in a row, and the provider is left alone. */
const FAILURES_MAX = 5;

export interface BreakerOptions {
  /** How long the provider is left alone, at least, before one call is let through. */
  restMs: number;
  /** Of all operations together: if nothing at all is answered, each has failed often enough. */
  failures: { inARow: number };
  onOpen: (reason: string) => void;
  onClose: () => void;
}

/**
 * Leaves one operation of the provider alone after it has failed several times in a row. Half open, one call is let through, and
 * its result decides: a call of the same operation, because another one may work while this one does not.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #reason: string | undefined;
  #restsUntilMs = 0;
  #failures = 0;
  /** What was throttled since the last answer, by key. */
  readonly #throttled = new Set<string>();
  #isTrying = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** Why the operation is left alone, if it is. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** How long it is left alone from now on, before one call is let through. */
  get restsMs(): number {
    return Math.max(0, this.#restsUntilMs - performance.now());
  }

  /**
   * @throws ProviderError of kind `rests` when `call` was not run, or failed together with the operation as a whole; else as
   * `call` does.
   */
  async run<T>(key: string, call: () => Promise<T>): Promise<T> {
    const isTrial = this.#reason !== undefined;
    if (isTrial && (this.#isTrying || this.restsMs > 0))
      throw new ProviderError('rests', this.#reason ?? '', { retryAfterMs: this.restsMs });
    this.#isTrying ||= isTrial;
    try {
      const result = await call();
      this.#answered(isTrial);
      return result;
    } catch (error) {
      const failure = ProviderError.of(error);
      this.#failed(isTrial, key, failure);
      const isOutage = failure.kind === 'away' || failure.kind === 'denied';
      throw isOutage && this.#reason !== undefined ? new ProviderError('rests', failure.message) : failure;
    } finally {
      if (isTrial) this.#isTrying = false;
    }
  }

  /** Lets calls through again because nothing waits that could be tried. The next failure opens it again. */
  presume(): void {
    this.#close();
    this.#failures = FAILURES_MAX - 1;
  }

  /** What came of a call that began before the breaker opened says nothing about now. */
  #answered(isTrial: boolean): void {
    if (isTrial || this.#reason === undefined) this.#close();
  }

  #failed(isTrial: boolean, key: string, { kind, message, retryAfterMs }: ProviderError): void {
    if (!isTrial && this.#reason !== undefined) return;
    if (kind === 'throttled') {
      // One order that is throttled says nothing about the others.
      this.#throttled.add(key);
      if (isTrial || this.#throttled.size >= FAILURES_MAX) this.#open(message, retryAfterMs);
    } else if (kind === 'away' || kind === 'denied') {
      this.#failures += 1;
      const inARow = Math.max(this.#failures, (this.#options.failures.inARow += 1));
      if (isTrial || kind === 'denied' || inARow >= FAILURES_MAX) this.#open(message, 0);
    } else this.#close();
  }

  #open(reason: string, restMs: number): void {
    const wasClosed = this.#reason === undefined;
    this.#reason = reason;
    this.#restsUntilMs = performance.now() + Math.max(this.#options.restMs, restMs);
    if (wasClosed) this.#options.onOpen(reason);
  }

  #close(): void {
    const wasOpen = this.#reason !== undefined;
    this.#reason = undefined;
    this.#failures = this.#options.failures.inARow = 0;
    this.#throttled.clear();
    if (wasOpen) this.#options.onClose();
  }
}
