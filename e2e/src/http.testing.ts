import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { CURRENCIES } from '@tandem/contracts/money';
import type { Order } from '@tandem/contracts/order';

/** Where the system under test listens. */
export const GATEWAY_URL = process.env['GATEWAY_URL'] ?? 'http://127.0.0.1:3000';

/** Longer than the gateway's own deadline, so that what fails in a test is never the test's client. */
const TIMEOUT_MS = 20_000;

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The body parsed, undefined when there is none or it is not JSON. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into whatever comes back
  body: any;
}

export interface Call {
  headers?: Record<string, string>;
  query?: Record<string, string>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is, with no content type but that of `headers`. */
  raw?: string | Uint8Array;
}

/** One HTTP request to the gateway. Rejects only when no answer came at all. */
export async function call(
  method: string,
  path: string,
  { headers = {}, query, json, raw }: Call = {},
): Promise<Answer> {
  const url = new URL(path, GATEWAY_URL);
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
  const body = json === undefined ? raw : JSON.stringify(json);
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  const response = await fetch(url, {
    method,
    headers: { ...type, ...headers },
    // As bytes: of a text, fetch would make a text/plain.
    ...(body === undefined ? {} : { body: typeof body === 'string' ? Buffer.from(body) : Buffer.from(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: parsed(text) };
}

export const get = (path: string, query?: Record<string, string>, headers?: Record<string, string>): Promise<Answer> =>
  call('GET', path, { ...(query && { query }), ...(headers && { headers }) });
export const post = (path: string, json: unknown, headers?: Record<string, string>): Promise<Answer> =>
  call('POST', path, { json, ...(headers && { headers }) });

/** An order as small as orders may be, of this customer. */
export const smallestOrder = (customerId: string, currency = 'EUR') => ({
  customerId,
  currency,
  lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }],
});

/** Places an order, or fails the test. */
export async function placed(body: unknown, headers?: Record<string, string>): Promise<Order> {
  const answer = await post('/v1/orders', body, headers);
  if (answer.status !== 201) throw new Error(`Not placed: ${answer.status} ${answer.text}`);
  return answer.body as Order;
}

/** The summary when everything up to this position has been counted. Waits longer than one request does. */
export async function summaryAfter(position: number) {
  return counted(() => get('/v1/analytics/summary', { after: String(position) }));
}

/** Asks again, within a minute, while analytics says that it has not counted that far. */
export async function counted(ask: () => Promise<Answer>) {
  for (const end = Date.now() + 60_000; ; await pause(500)) {
    const answer = await ask();
    if (answer.status === 200) return answer.body;
    if (answer.body?.code !== 'not_counted_yet' || Date.now() > end)
      throw new Error(`Not counted: ${answer.status} ${answer.text}`);
  }
}

/** A customer that no other test and no other run has. */
export const newCustomer = (): string => `e2e-${randomUUID()}`;

/** A currency that hardly anybody else uses at the moment, so that its sums move by what a test does alone. */
export function rareCurrency(): string {
  const rare = CURRENCIES.filter((code) => !['EUR', 'USD', 'GBP', 'JPY'].includes(code));
  return rare[Math.floor(Math.random() * rare.length)] ?? 'XPF';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
