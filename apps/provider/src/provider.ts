import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Amount, Currency } from '@tandem/contracts/money';
import { PaymentMethod } from '@tandem/contracts/order';
import { identifier } from '@tandem/contracts/text';
import { z } from 'zod';
import type { Entry, Ledger, Request } from './ledger.ts';

/** What the provider may be told to do from now on, or with the next few requests. */
export const Behaviour = z.strictObject({
  /**
   * `decline` declines charges, and refunds too when `only` says POST. `fail` answers 500, `answer` the `status` given, `drop`
   * cuts the connection before anything is decided, `drop-after` decides and then cuts it, `twice` sends its answer two times;
   * `slow` approves late. `redirect` answers 307 with `location`, `endless` a body without an end, `page` a page that is no
   * JSON, and `contradict` what was decided with an amount of 1 JPY.
   */
  behaviour: z.enum([
    'approve',
    'decline',
    'slow',
    'fail',
    'drop',
    'drop-after',
    'twice',
    'answer',
    'redirect',
    'endless',
    'page',
    'contradict',
  ]),
  /** How late every answer is; of `slow`, 10 s unless set. */
  delayMs: z.int().min(0).max(600_000).optional(),
  /** After so many requests it approves again. For ever unless set. */
  times: z.int().min(1).optional(),
  /** Which requests are treated so: `POST` decides, `GET` finds. All others are approved. */
  only: z.enum(['POST', 'GET']).optional(),
  /** Only these, by their reference. */
  reference: z.string().optional(),
  status: z.int().min(200).max(599).optional(),
  /** In seconds or as a date; sent with `answer`. */
  retryAfter: z.string().optional(),
  location: z.string().optional(),
  /** Why it declines. */
  reason: z.string().optional(),
  /** What a second request gets while the first of its key is being decided: 409, or the answer of the first. */
  inUse: z.enum(['conflict', 'wait']).optional(),
  /** What a reference that was never used is answered with: 200 and an empty list, or 404. */
  unknown: z.enum(['empty', '404']).optional(),
});
export type Behaviour = z.infer<typeof Behaviour>;

/** Nothing cannot be charged. */
const Some = Amount.min(1);
const Charge = z.strictObject({ amount: Some, currency: Currency, method: PaymentMethod });
const Refund = z.strictObject({ charge: identifier(64), amount: Some, currency: Currency });

const SLOW_MS = 10_000;
const BODY_BYTES_MAX = 16_384;

/**
 * A payment provider as small as it can be, for development and tests: it decides each key once, and can be told to behave
 * badly. It stands for somebody else's service, so nothing of Tandem's is used to build it.
 *
 * `POST /v1/charges`, `POST /v1/refunds` (with `Idempotency-Key`); `GET /v1/charges?reference=`, `GET /v1/refunds?reference=`;
 * `PUT /control` and `GET /control` for tests, which also lists everything that was decided.
 */
export class Provider {
  readonly #server: Server;
  readonly #ledger: Ledger;
  #told: Behaviour = { behaviour: 'approve' };
  /** Keys that are being decided. */
  readonly #inUse = new Set<string>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        if (!response.headersSent)
          send(response, 400, { error: error instanceof Error ? error.message : 'unreadable' });
      });
    });
  }

  /** @param port 0 for any; resolves with the one it has. */
  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((listening, failed) => {
      this.#server.once('error', failed);
      this.#server.listen(port, host, listening);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes nothing more, and answers what was asked. */
  async drain(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    // Those that fall idle only then would be kept open by their clients.
    const cutting = setInterval(() => this.#server.closeIdleConnections(), 20);
    await closed;
    clearInterval(cutting);
  }

  /** Cuts off requests under way: their clients ask again. */
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://provider');
    const route = `${request.method} ${url.pathname}`;
    if (route === 'GET /health/live' || route === 'GET /health/ready')
      return send(response, 200, { status: 'ok', service: 'provider', checks: {} });
    if (route === 'GET /control') return send(response, 200, { ...this.#told, entries: this.#ledger.entries });
    if (route === 'PUT /control') {
      this.#told = Behaviour.parse(await bodyOf(request));
      return send(response, 200, this.#told);
    }
    const kind = url.pathname === '/v1/charges' ? 'charge' : url.pathname === '/v1/refunds' ? 'refund' : undefined;
    if (kind === undefined) return send(response, 404, { error: 'not_found' });
    if (request.method === 'GET') {
      const reference = url.searchParams.get('reference') ?? '';
      const told = this.#next('GET', reference);
      if (await misbehaved(told, response)) return;
      const found = this.#ledger.find(reference);
      if (found?.request.kind === kind) return send(response, 200, { data: [shown(found, told)] });
      return this.#told.unknown === '404'
        ? send(response, 404, { error: 'unknown_reference' })
        : send(response, 200, { data: [] });
    }
    if (request.method === 'POST') return this.#decide(kind, request, response);
    return send(response, 405, { error: 'method_not_allowed' });
  }

  async #decide(kind: Request['kind'], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const reference = request.headers['idempotency-key'];
    if (typeof reference !== 'string' || reference === '') return send(response, 400, { error: 'no_idempotency_key' });
    const body: unknown = await bodyOf(request);
    const read = kind === 'charge' ? Charge.safeParse(body) : Refund.safeParse(body);
    if (!read.success) return send(response, 422, { error: 'invalid', detail: z.prettifyError(read.error) });
    const asked: Request = { kind, ...read.data };
    const told = this.#next('POST', reference);
    if (this.#inUse.has(reference) && told.inUse !== 'wait') return send(response, 409, { error: 'key_in_use' });
    this.#inUse.add(reference);
    try {
      if (await misbehaved(told, response)) return;
      this.#conclude(reference, asked, told, response);
    } finally {
      this.#inUse.delete(reference);
    }
  }

  #conclude(reference: string, asked: Request, told: Behaviour, response: ServerResponse): void {
    if (asked.charge !== undefined && this.#ledger.find(reference) === undefined) {
      if (this.#ledger.refundable(asked.charge) < asked.amount)
        return send(response, 422, { error: 'more_than_was_charged' });
    }
    const verdict =
      told.behaviour === 'decline' && (asked.kind === 'charge' || told.only === 'POST')
        ? ({ status: 'declined', reason: told.reason ?? 'insufficient funds' } as const)
        : ({ status: 'approved' } as const);
    const entry = this.#ledger.decide(reference, asked, verdict);
    if (entry === undefined) return send(response, 409, { error: 'key_reused' });
    if (told.behaviour === 'drop-after') return void response.socket?.destroy();
    if (told.behaviour === 'twice') return sendTwice(response, shown(entry, told));
    return send(response, entry.status === 'approved' ? 201 : 402, shown(entry, told));
  }

  /** What to do with this request. */
  #next(method: 'GET' | 'POST', reference: string): Behaviour {
    const told = this.#told;
    const { only = method, reference: about = reference, inUse } = told;
    if (only !== method || about !== reference) return { behaviour: 'approve', inUse };
    if (told.times === 1) this.#told = { behaviour: 'approve' };
    else if (told.times !== undefined) this.#told = { ...told, times: told.times - 1 };
    return told;
  }
}

/** Whether the request has got what it deserves without being looked at. */
async function misbehaved(told: Behaviour, response: ServerResponse): Promise<boolean> {
  const { behaviour, delayMs, status = 500, retryAfter, location = '/elsewhere' } = told;
  const waitMs = delayMs ?? (behaviour === 'slow' ? SLOW_MS : 0);
  if (waitMs > 0) await pause(waitMs, undefined, { ref: false });
  if (behaviour === 'fail') send(response, 500, { error: 'internal' });
  else if (behaviour === 'drop') response.socket?.destroy();
  else if (behaviour === 'answer')
    send(response, status, { error: 'as_told' }, retryAfter === undefined ? {} : { 'retry-after': retryAfter });
  else if (behaviour === 'redirect') send(response, 307, { error: 'moved' }, { location });
  else if (behaviour === 'page') response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>A page</h1>');
  else if (behaviour === 'endless') sendEndlessly(response);
  else return false;
  return true;
}

const shown = ({ id, reference, request, status, reason }: Entry, { behaviour }: Behaviour) => {
  const money = behaviour === 'contradict' ? { amount: 1, currency: 'JPY' } : {};
  return { id, reference, ...request, ...money, status, ...(reason === undefined ? {} : { reason }) };
};

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > BODY_BYTES_MAX) throw new Error('too large');
  }
  return JSON.parse(text);
}

function send(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** As fast as it is taken, until the connection is closed. */
function sendEndlessly(response: ServerResponse): void {
  const chunk = Buffer.alloc(65_536, ' ');
  const write = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .on('drain', write)
    .on('error', () => undefined);
  write();
}

/** The whole answer again on the same connection, which the client has not asked for. */
function sendTwice(response: ServerResponse, body: unknown): void {
  const text = JSON.stringify(body);
  const head = `HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n`;
  response.socket?.write(`${head}${text}${head}${text}`);
}
