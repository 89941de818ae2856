import { identifier } from '@tandem/contracts/text';
import {
  BrokenCircuitError,
  CircuitState,
  circuitBreaker,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleType,
  retry,
  wrap,
} from 'cockatiel';
import { z } from 'zod';

/** What the provider says for ever about one key. */
export type Outcome = { status: 'approved'; id: string } | { status: 'declined'; reason: string };

/** The provider cannot be reached, does not answer in time, or says that it is broken: ask again later. */
export class ProviderAwayError extends Error {
  override readonly name = 'ProviderAwayError';
}

/** The provider has failed several times in a row and was not asked. */
export class ProviderRestsError extends Error {
  override readonly name = 'ProviderRestsError';
}

/** The provider does not do what it was asked for, and will not. */
export class ProviderRefusedError extends Error {
  override readonly name = 'ProviderRefusedError';
}

export interface ProviderClientOptions {
  url: string;
  timeoutMs: number;
  /** How long the provider is left alone before it is asked whether it is back. */
  restMs: number;
  /** The provider has failed several times in a row, and is left alone. */
  onAway: () => void;
  /** It answers again. */
  onBack: () => void;
}

export interface Charge {
  amount: number;
  currency: string;
  method: string;
}

export interface Refund {
  charge: string;
  amount: number;
  currency: string;
}

const Answer = z.object({
  id: identifier(64),
  reference: z.string(),
  amount: z.int(),
  currency: z.string(),
  status: z.enum(['approved', 'declined']),
  reason: z.string().optional(),
});
const Found = z.object({ data: z.array(Answer).max(1) });

/** An outage of a moment is over after these, and costs the job no attempt. */
const RETRIES = 2;
/** So many calls in a row without an answer, and the provider is taken for away. */
const FAILURES_MAX = 5;
const REASON_LENGTH_MAX = 500;

/**
 * Talks to the payment provider over HTTP: each request has a time-out, an outage is tried again twice, and after several
 * of them in a row nothing is asked but, now and then, whether it is back.
 */
export class ProviderClient {
  readonly #options: ProviderClientOptions;
  readonly #breaker;
  readonly #policy;
  #probe: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ProviderClientOptions) {
    this.#options = options;
    const outage = handleType(ProviderAwayError);
    this.#breaker = circuitBreaker(outage, {
      halfOpenAfter: options.restMs,
      breaker: new ConsecutiveBreaker(FAILURES_MAX),
    });
    const backoff = new ExponentialBackoff({ initialDelay: 50, maxDelay: 500 });
    this.#policy = wrap(retry(outage, { maxAttempts: RETRIES, backoff }), this.#breaker);
    this.#breaker.onBreak(() => {
      options.onAway();
      this.#probeLater();
    });
    this.#breaker.onReset(() => options.onBack());
  }

  /** Why the provider is not asked, in words for a health check. */
  get awayReason(): string | undefined {
    return this.#breaker.state === CircuitState.Closed ? undefined : 'the payment provider does not answer';
  }

  /** @throws ProviderAwayError, ProviderRestsError, ProviderRefusedError. The same key gets the same outcome. */
  charge(key: string, charge: Charge): Promise<Outcome> {
    return this.#ask('POST', '/v1/charges', key, charge);
  }

  /** @throws ProviderAwayError, ProviderRestsError, ProviderRefusedError. The same key gets the same outcome. */
  refund(key: string, refund: Refund): Promise<Outcome> {
    return this.#ask('POST', '/v1/refunds', key, refund);
  }

  /** What the provider knows of a key, however old; undefined when it has never heard of it. */
  async find(kind: 'charges' | 'refunds', key: string): Promise<Outcome | undefined> {
    const { data } = await this.#guarded(async () => {
      const response = await this.#fetch('GET', `/v1/${kind}?reference=${encodeURIComponent(key)}`);
      return Found.parse(await response.json());
    });
    const [answer] = data;
    return answer?.reference === key ? outcomeOf(answer) : undefined;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#probe);
  }

  #ask(method: string, path: string, key: string, body: Charge | Refund): Promise<Outcome> {
    return this.#guarded(async () => {
      const response = await this.#fetch(method, path, key, body);
      const answer = Answer.parse(await response.json());
      // An answer that was sent twice may be read as that of the next request.
      if (answer.reference !== key || answer.amount !== body.amount || answer.currency !== body.currency)
        throw new Error(`The provider answered ${answer.reference} when it was asked for ${key}`);
      return outcomeOf(answer);
    });
  }

  async #guarded<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await this.#policy.execute(() =>
        ask().catch((error: unknown) => {
          if (error instanceof ProviderRefusedError) throw error;
          // Also an answer that cannot be read: what it says is not known.
          throw new ProviderAwayError(error instanceof Error ? messageOf(error) : 'No answer', { cause: error });
        }),
      );
    } catch (error) {
      if (error instanceof BrokenCircuitError) throw new ProviderRestsError(this.awayReason ?? 'it rests');
      throw error;
    }
  }

  async #fetch(method: string, path: string, key?: string, body?: unknown): Promise<Response> {
    const response = await fetch(`${this.#options.url}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(this.#options.timeoutMs),
    });
    // A decline is an answer.
    if (response.ok || response.status === 402) return response;
    const text = (await response.text()).slice(0, REASON_LENGTH_MAX);
    const said = `The provider answered ${response.status} ${text}`;
    // Too many requests and request time-outs are as good as no answer.
    const isRefusal = response.status < 500 && response.status !== 429 && response.status !== 408;
    throw isRefusal ? new ProviderRefusedError(said) : new Error(said);
  }

  /** Not with a job: however long it stays away, no job is tried in vain. */
  #probeLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#probe);
    this.#probe = setTimeout(() => {
      const ask = () => this.#fetch('GET', '/v1/charges?reference=probe').then((response) => response.text());
      this.#breaker
        .execute(() =>
          ask().catch((error: unknown) => {
            throw new ProviderAwayError('No answer', { cause: error });
          }),
        )
        .catch(() => this.#probeLater());
    }, this.#options.restMs + 10).unref();
  }
}

function outcomeOf({ id, status, reason }: z.infer<typeof Answer>): Outcome {
  if (status === 'approved') return { status, id };
  return { status, reason: reason?.slice(0, REASON_LENGTH_MAX) || 'declined' };
}

/** `fetch` says only that it failed; its cause says why. */
function messageOf({ message, cause }: Error): string {
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}
