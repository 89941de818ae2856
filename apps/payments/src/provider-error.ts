import { types } from 'node:util';

/**
 * What a call without an outcome says.
 * - `away`: no answer, none in time, or one that cannot be read: nothing is known.
 * - `denied`: the provider does not let us in, whatever we ask for.
 * - `rests`: the provider fails as a whole, and was not asked, or was tried in vain.
 * - `throttled`: not now, but after `retryAfterMs`.
 * - `busy`: an earlier request under the same key is still being decided.
 * - `refused`: it will not do this, however often it is asked.
 * - `contradicts`: it speaks of another amount, currency or reference than it was asked about.
 */
export type ProviderErrorKind = 'away' | 'denied' | 'rests' | 'throttled' | 'busy' | 'refused' | 'contradicts';

export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  readonly retryAfterMs: number;

  constructor(
    readonly kind: ProviderErrorKind,
    message: string,
    { retryAfterMs = 0, cause }: { retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.retryAfterMs = retryAfterMs;
  }

  /** Whatever else was thrown: no answer came, or none that can be read. */
  static of(error: unknown): ProviderError {
    if (error instanceof ProviderError) return error;
    // An aborted request says only that it was; its cause says why.
    const said = types.isNativeError(error) ? error : new Error('No answer');
    const why = types.isNativeError(said.cause) ? `${said.message}: ${said.cause.message}` : said.message;
    return new ProviderError('away', why || 'No answer', { cause: error });
  }
}
