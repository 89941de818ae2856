import * as http from 'node:http';
import * as https from 'node:https';
import { identifier, storableText } from '@tandem/contracts/text';
import { ExponentialBackoff, handleWhen, retry } from 'cockatiel';
import { z } from 'zod';
import { Breaker } from './breaker.ts';
import { ProviderError } from './provider-error.ts';

/** What the provider says for ever about one key. */
export type Outcome = { status: 'approved'; id: string } | { status: 'declined'; reason: string };

export interface ProviderClientOptions {
  url: string;
  timeoutMs: number;
  /** How long the provider is left alone before it is tried again. */
  restMs: number;
  /** Charges fail as a whole, and are left alone until `tryOne` shows that they succeed again. */
  onAway: (reason: string) => void;
  onBack: () => void;
  /** Runs one job that waits, if there is one. */
  tryOne: () => Promise<'done' | 'failed' | 'none'>;
}

interface Money {
  amount: number;
  currency: string;
}

export interface Charge extends Money {
  method: string;
}

export interface Refund extends Money {
  charge: string;
}

const Answer = z.object({
  id: identifier(64),
  reference: z.string(),
  amount: z.int(),
  currency: z.string(),
  charge: z.string().optional(),
  status: z.enum(['approved', 'declined']),
  reason: z.string().optional(),
});
type Answer = z.infer<typeof Answer>;
const Found = z.object({ data: z.array(Answer).max(1) });

/** An outage of a moment is over after these, and costs the job no attempt. */
const RETRIES = 2;
const BACKOFF_MS_MAX = 500;
const BODY_BYTES_MAX = 65_536;
const REASON_LENGTH_MAX = 500;
/** How much of the provider's words goes into an error. */
const QUOTED_LENGTH_MAX = 200;
const RETRY_AFTER_MS = 1_000;
const RETRY_AFTER_MS_MAX = 3_600_000;

const CHARGES = '/v1/charges';
const REFUNDS = '/v1/refunds';

/** Talks to the payment provider over HTTP. Every method throws `ProviderError`. */
export class ProviderClient {
  readonly #options: ProviderClientOptions;
  readonly #breakers: Record<string, Breaker>;
  readonly #retry = retry(
    handleWhen((error) => error instanceof ProviderError && error.kind === 'away'),
    { maxAttempts: RETRIES, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: BACKOFF_MS_MAX }) },
  );
  #trial: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ProviderClientOptions) {
    this.#options = options;
    const { restMs, onBack } = options;
    const failures = { inARow: 0 };
    const quiet = { restMs, failures, onOpen: () => undefined, onClose: () => undefined };
    const onOpen = (reason: string) => {
      options.onAway(reason);
      this.#tryLater();
    };
    this.#breakers = {
      [`POST ${CHARGES}`]: new Breaker({ restMs, failures, onOpen, onClose: onBack }),
      [`POST ${REFUNDS}`]: new Breaker(quiet),
      [`GET ${CHARGES}`]: new Breaker(quiet),
      [`GET ${REFUNDS}`]: new Breaker(quiet),
    };
  }

  /** What is not asked of the provider, and why, in words for a health check. */
  get awayReason(): string | undefined {
    const open = Object.entries(this.#breakers).filter(([, { reason }]) => reason !== undefined);
    return open.length === 0 ? undefined : open.map(([operation, { reason }]) => `${operation}: ${reason}`).join('; ');
  }

  /** The longest that one charge or refund may take with its retries. */
  get askMsMax(): number {
    return (RETRIES + 1) * (this.#options.timeoutMs + BACKOFF_MS_MAX);
  }

  /**
   * The same key gets the same outcome.
   *
   * @param isRepeatable whether the provider is sure to know the key for as long as retries may take.
   */
  charge(key: string, charge: Charge, isRepeatable: boolean): Promise<Outcome> {
    return this.#ask(CHARGES, key, charge, isRepeatable);
  }

  /** As `charge`. */
  refund(key: string, refund: Refund, isRepeatable: boolean): Promise<Outcome> {
    return this.#ask(REFUNDS, key, refund, isRepeatable);
  }

  /** What the provider knows of a key, however old; undefined when it has never heard of it. */
  async find(key: string, asked: Charge | Refund): Promise<Outcome | undefined> {
    const path = 'charge' in asked ? REFUNDS : CHARGES;
    return this.#retry.execute(() =>
      this.#call('GET', path, key, undefined, (status, body) => {
        if (status === 404) return undefined;
        const [answer] = Found.parse(body).data;
        return answer === undefined ? undefined : outcomeOf(answer, key, asked);
      }),
    );
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#trial);
  }

  #ask(path: string, key: string, asked: Charge | Refund, isRepeatable: boolean): Promise<Outcome> {
    const ask = () =>
      this.#call('POST', path, key, asked, (_status, body) => outcomeOf(Answer.parse(body), key, asked));
    return isRepeatable ? this.#retry.execute(ask) : ask();
  }

  #call<T>(
    method: 'GET' | 'POST',
    path: string,
    key: string,
    body: object | undefined,
    read: (status: number, body: unknown) => T,
  ): Promise<T> {
    const breaker = this.#breakers[`${method} ${path}`] as Breaker;
    return breaker.run(key, async () => {
      const query = method === 'GET' ? `?reference=${encodeURIComponent(key)}` : '';
      const response = await this.#send(method, `${path}${query}`, key, body);
      const status = response.statusCode ?? 0;
      const answer = await bodyOf(response);
      // A decline is an answer, and so is that a reference is not known.
      if ((status >= 200 && status < 300) || (status === 402 && method === 'POST')) return read(status, answer.json);
      if (status === 404 && method === 'GET' && isObject(answer.json)) return read(status, undefined);
      throw failureOf(status, response.headers, answer);
    });
  }

  /** Not with `fetch`, which hides a 407. Redirects are not followed: elsewhere nobody has promised us anything. */
  #send(method: string, path: string, key: string, body: object | undefined): Promise<http.IncomingMessage> {
    const { url, timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const headers = {
        accept: 'application/json',
        ...(body && { 'content-type': 'application/json', 'idempotency-key': key }),
      };
      const options = { method, headers, signal: AbortSignal.timeout(timeoutMs) };
      const { request } = url.startsWith('https:') ? https : http;
      request(`${url}${path}`, options, resolve)
        .on('error', reject)
        .end(body && JSON.stringify(body));
    });
  }

  /** Tries with one real job, however long the provider stays away: nothing else shows that what failed succeeds again. */
  #tryLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#trial);
    const { restsMs } = this.#breakers[`POST ${CHARGES}`] as Breaker;
    // Some of the rest may still be left when the timer fires.
    this.#trial = setTimeout(() => void this.#try(), Math.max(restsMs, this.#options.restMs) + 10).unref();
  }

  async #try(): Promise<void> {
    const breaker = this.#breakers[`POST ${CHARGES}`] as Breaker;
    let ran: 'done' | 'failed' | 'none';
    // A job that is done while charges are still left alone has asked for none, as its order was cancelled meanwhile. It shows
    // nothing, and after a long outage there are many of them: each would cost a rest.
    do ran = await this.#options.tryOne().catch(() => 'failed' as const);
    while (ran === 'done' && breaker.reason !== undefined && !this.#closed);
    if (breaker.reason === undefined) return;
    if (ran === 'none') breaker.presume();
    else this.#tryLater();
  }
}

interface Body {
  text: string;
  json: unknown;
}

/** @throws Error when the body is too large; what is no JSON has no `json`. */
async function bodyOf(response: http.IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`The provider's answer is larger than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  if (!/^application\/([\w.-]+\+)?json\b/i.test(response.headers['content-type'] ?? ''))
    return { text, json: undefined };
  try {
    return { text, json: JSON.parse(text) as unknown };
  } catch {
    return { text, json: undefined };
  }
}

/** Whether the provider itself has answered: a page of some proxy says nothing about a request or a reference. */
const isObject = (json: unknown) => typeof json === 'object' && json !== null;

/** What a status other than success says. */
function failureOf(status: number, headers: http.IncomingHttpHeaders, { text, json }: Body): ProviderError {
  const { 'retry-after': retryAfter, location } = headers;
  const target =
    location === undefined ? '' : ` (to ${storableText(location, QUOTED_LENGTH_MAX)}, which is not followed)`;
  const message = `The provider answered ${status}${target} ${storableText(text, QUOTED_LENGTH_MAX)}`.trim();
  switch (status) {
    case 401:
    case 403:
    case 407:
    case 451:
      return new ProviderError('denied', message);
    case 409:
    case 423:
    case 425:
      return new ProviderError('busy', message);
    case 429:
      return new ProviderError('throttled', message, { retryAfterMs: retryAfterMsOf(retryAfter) });
    case 503:
      if (retryAfter === undefined) return new ProviderError('away', message);
      return new ProviderError('throttled', message, { retryAfterMs: retryAfterMsOf(retryAfter) });
    case 400:
    case 422:
      return new ProviderError(isObject(json) ? 'refused' : 'away', message);
    default:
      return new ProviderError('away', message);
  }
}

/** Seconds or a date (RFC 9110, section 10.2.3), an hour at most. */
function retryAfterMsOf(value: string | undefined): number {
  if (value === undefined) return RETRY_AFTER_MS;
  const waitMs = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(waitMs) ? RETRY_AFTER_MS : Math.min(Math.max(waitMs, 0), RETRY_AFTER_MS_MAX);
}

/** @throws ProviderError of kind `contradicts`. */
function outcomeOf(answer: Answer, key: string, asked: Charge | Refund): Outcome {
  const { id, reference, amount, currency, charge, status, reason } = answer;
  const isOfCharge = !('charge' in asked) || charge === undefined || charge === asked.charge;
  if (reference !== key || amount !== asked.amount || currency !== asked.currency || !isOfCharge) {
    const said = `${amount} ${currency} for ${reference}${charge === undefined ? '' : ` of ${charge}`}`;
    const wanted = `${asked.amount} ${asked.currency} for ${key}${'charge' in asked ? ` of ${asked.charge}` : ''}`;
    const message = `CONTRADICTION: the provider says ${status} ${storableText(said, QUOTED_LENGTH_MAX)}, asked was ${wanted}`;
    throw new ProviderError('contradicts', message);
  }
  if (status === 'approved') return { status, id };
  return { status, reason: storableText(reason ?? '', REASON_LENGTH_MAX) || 'declined' };
}
