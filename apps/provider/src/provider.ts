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
   * `fail` answers 500, `drop` cuts the connection before anything is decided, `drop-after` decides and then cuts it, `twice`
   * sends its answer two times; `slow` approves late.
   */
  behaviour: z.enum(['approve', 'decline', 'slow', 'fail', 'drop', 'drop-after', 'twice']),
  /** How late every answer is; of `slow`, 10 s unless set. */
  delayMs: z.int().min(0).max(600_000).optional(),
  /** After so many requests it approves again. For ever unless set. */
  times: z.int().min(1).optional(),
});
export type Behaviour = z.infer<typeof Behaviour>;

const Charge = z.strictObject({ amount: Amount, currency: Currency, method: PaymentMethod });
const Refund = z.strictObject({ charge: identifier(64), amount: Amount, currency: Currency });

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

  /** Finishes nothing: whoever waits for an answer asks again. */
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
      const told = this.#next();
      if (await misbehaved(told, response)) return;
      const found = this.#ledger.find(url.searchParams.get('reference') ?? '');
      return send(response, 200, { data: found?.request.kind === kind ? [shown(found)] : [] });
    }
    if (request.method === 'POST') return this.#decide(kind, request, response);
    return send(response, 405, { error: 'method_not_allowed' });
  }

  async #decide(kind: Request['kind'], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const reference = request.headers['idempotency-key'];
    if (typeof reference !== 'string' || reference === '') return send(response, 400, { error: 'no_idempotency_key' });
    const body: unknown = await bodyOf(request);
    const asked: Request = kind === 'charge' ? { kind, ...Charge.parse(body) } : { kind, ...Refund.parse(body) };
    const told = this.#next();
    if (await misbehaved(told, response)) return;
    if (asked.charge !== undefined && this.#ledger.find(reference) === undefined) {
      if (this.#ledger.refundable(asked.charge) < asked.amount)
        return send(response, 422, { error: 'more_than_was_charged' });
    }
    const verdict =
      told.behaviour === 'decline' && kind === 'charge'
        ? ({ status: 'declined', reason: 'insufficient funds' } as const)
        : ({ status: 'approved' } as const);
    const entry = this.#ledger.decide(reference, asked, verdict);
    if (entry === undefined) return send(response, 409, { error: 'key_reused' });
    if (told.behaviour === 'drop-after') return void response.socket?.destroy();
    if (told.behaviour === 'twice') return sendTwice(response, shown(entry));
    return send(response, entry.status === 'approved' ? 201 : 402, shown(entry));
  }

  /** What to do with this request. */
  #next(): Behaviour {
    const told = this.#told;
    if (told.times === 1) this.#told = { behaviour: 'approve' };
    else if (told.times !== undefined) this.#told = { ...told, times: told.times - 1 };
    return told;
  }
}

/** Whether the request has got what it deserves without being looked at. */
async function misbehaved({ behaviour, delayMs }: Behaviour, response: ServerResponse): Promise<boolean> {
  const waitMs = delayMs ?? (behaviour === 'slow' ? SLOW_MS : 0);
  if (waitMs > 0) await pause(waitMs, undefined, { ref: false });
  if (behaviour === 'fail') send(response, 500, { error: 'internal' });
  else if (behaviour === 'drop') response.socket?.destroy();
  else return false;
  return true;
}

const shown = ({ id, reference, request, status, reason }: Entry) => {
  return { id, reference, ...request, status, ...(reason === undefined ? {} : { reason }) };
};

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > BODY_BYTES_MAX) throw new Error('too large');
  }
  return JSON.parse(text);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** The whole answer again on the same connection, which the client has not asked for. */
function sendTwice(response: ServerResponse, body: unknown): void {
  const text = JSON.stringify(body);
  const head = `HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n`;
  response.socket?.write(`${head}${text}${head}${text}`);
}
