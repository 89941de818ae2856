import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ledger } from './ledger.ts';
import { Provider } from './provider.ts';

let folder: string;
let url: string;
let provider: Provider;

async function start(): Promise<void> {
  provider = new Provider(Ledger.open(join(folder, 'ledger')));
  url = `http://127.0.0.1:${await provider.listen(0, '127.0.0.1')}`;
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'provider-'));
  await start();
});

afterEach(async () => {
  await provider.close();
  rmSync(folder, { recursive: true });
});

async function ask(method: string, path: string, body?: unknown, key?: string) {
  const response = await fetch(`${url}${path}`, {
    method,
    redirect: 'manual',
    headers: { connection: 'close', ...(key === undefined ? {} : { 'idempotency-key': key }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever comes back
  return { status: response.status, body: (await response.json()) as any, headers: response.headers };
}

const charge = { amount: 2_990, currency: 'EUR', method: 'card' };
const tell = (behaviour: unknown) => ask('PUT', '/control', behaviour);

describe('the provider', () => {
  it('charges once per key, and finds the charge by its key, after a restart, too', async () => {
    const first = await ask('POST', '/v1/charges', charge, 'order-1');
    expect([first.status, first.body.status]).toEqual([201, 'approved']);
    await provider.close();
    await start();
    const again = await ask('POST', '/v1/charges', charge, 'order-1');
    expect([again.status, again.body]).toEqual([first.status, first.body]);
    expect((await ask('GET', '/v1/charges?reference=order-1')).body.data).toEqual([first.body]);
    expect((await ask('GET', '/v1/charges?reference=order-2')).body.data).toEqual([]);
    expect((await ask('GET', '/control')).body.entries).toHaveLength(1);
  });

  it('refuses a key that stands for something else', async () => {
    await ask('POST', '/v1/charges', charge, 'order-1');
    expect((await ask('POST', '/v1/charges', { ...charge, amount: 1 }, 'order-1')).status).toBe(409);
    expect((await ask('POST', '/v1/charges', charge)).status).toBe(400);
  });

  it('refunds no more than was charged', async () => {
    const { body } = await ask('POST', '/v1/charges', charge, 'order-1');
    const refund = { charge: body.id, amount: 2_000, currency: 'EUR' };
    expect((await ask('POST', '/v1/refunds', refund, 'refund-1')).status).toBe(201);
    expect((await ask('POST', '/v1/refunds', refund, 'refund-1')).status).toBe(201);
    expect((await ask('POST', '/v1/refunds', refund, 'refund-2')).status).toBe(422);
  });

  it('declines, fails, and approves again after as many times as it was told', async () => {
    await tell({ behaviour: 'decline', times: 1 });
    const declined = await ask('POST', '/v1/charges', charge, 'order-1');
    expect([declined.status, declined.body.reason]).toEqual([402, 'insufficient funds']);
    await tell({ behaviour: 'fail', times: 2 });
    expect((await ask('POST', '/v1/charges', charge, 'order-2')).status).toBe(500);
    expect((await ask('GET', '/v1/charges?reference=order-2')).status).toBe(500);
    expect((await ask('POST', '/v1/charges', charge, 'order-2')).status).toBe(201);
    // What was decided stays decided.
    expect((await ask('POST', '/v1/charges', charge, 'order-1')).status).toBe(402);
  });

  it('drops the connection before it has decided, or after', async () => {
    await tell({ behaviour: 'drop', times: 1 });
    await expect(ask('POST', '/v1/charges', charge, 'order-1')).rejects.toThrow();
    expect((await ask('GET', '/v1/charges?reference=order-1')).body.data).toEqual([]);
    await tell({ behaviour: 'drop-after', times: 1 });
    await expect(ask('POST', '/v1/charges', charge, 'order-1')).rejects.toThrow();
    expect((await ask('GET', '/v1/charges?reference=order-1')).body.data).toHaveLength(1);
  });

  it('starts though its last line was torn, and writes the next one whole', async () => {
    await ask('POST', '/v1/charges', charge, 'order-1');
    await provider.close();
    const file = join(folder, 'ledger');
    appendFileSync(file, '{"id":"ch-2-x","reference":"order-2","requ');
    await start();
    expect((await ask('GET', '/v1/charges?reference=order-2')).body.data).toEqual([]);
    await ask('POST', '/v1/charges', charge, 'order-2');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { reference: string }).reference)).toEqual(['order-1', 'order-2']);
  });

  it('refuses to charge nothing', async () => {
    const refused = await ask('POST', '/v1/charges', { ...charge, amount: 0 }, 'order-1');
    expect([refused.status, refused.body.error]).toEqual([422, 'invalid']);
  });

  it('answers 409 while a key is in use, or lets the second wait as it is told', async () => {
    const both = async (key: string) => {
      const some = await Promise.all([1, 2].map(() => ask('POST', '/v1/charges', charge, key)));
      return some.map(({ status }) => status).sort();
    };
    await tell({ behaviour: 'slow', delayMs: 100 });
    expect(await both('order-1')).toEqual([201, 409]);
    expect((await ask('POST', '/v1/charges', charge, 'order-1')).status).toBe(201);
    await tell({ behaviour: 'slow', delayMs: 100, inUse: 'wait' });
    expect(await both('order-2')).toEqual([201, 201]);
  });

  it('is slow to charge while it finds at once', async () => {
    await tell({ behaviour: 'slow', delayMs: 60_000, only: 'POST' });
    const abandoned = new AbortController();
    const charging = fetch(`${url}/v1/charges`, {
      method: 'POST',
      headers: { 'idempotency-key': 'order-1' },
      body: JSON.stringify(charge),
      signal: abandoned.signal,
    });
    expect((await ask('GET', '/v1/charges?reference=order-1')).body.data).toEqual([]);
    abandoned.abort();
    await expect(charging).rejects.toThrow();
  });

  it('answers with whatever status it is told, with Retry-After, to one reference only', async () => {
    await tell({ behaviour: 'answer', status: 429, retryAfter: '7', reference: 'order-1' });
    const throttled = await ask('POST', '/v1/charges', charge, 'order-1');
    expect([throttled.status, throttled.headers.get('retry-after')]).toEqual([429, '7']);
    expect((await ask('POST', '/v1/charges', charge, 'order-2')).status).toBe(201);
    await tell({ behaviour: 'answer', status: 401, times: 1 });
    expect((await ask('GET', '/v1/charges?reference=order-1')).status).toBe(401);
    expect((await ask('GET', '/v1/charges?reference=order-1')).status).toBe(200);
  });

  it('answers 404 for a reference that it does not know, when it is told to', async () => {
    await tell({ behaviour: 'approve', unknown: '404' });
    expect((await ask('GET', '/v1/charges?reference=order-1')).status).toBe(404);
    await ask('POST', '/v1/charges', charge, 'order-1');
    expect((await ask('GET', '/v1/charges?reference=order-1')).status).toBe(200);
  });

  it('redirects, contradicts, and sends pages and bodies without an end', async () => {
    await tell({ behaviour: 'redirect', location: 'http://127.0.0.1:9/', times: 1 });
    const moved = await ask('POST', '/v1/charges', charge, 'order-1');
    expect([moved.status, moved.headers.get('location')]).toEqual([307, 'http://127.0.0.1:9/']);
    await tell({ behaviour: 'contradict', times: 1 });
    expect((await ask('POST', '/v1/charges', charge, 'order-1')).body).toMatchObject({ amount: 1, currency: 'JPY' });
    await tell({ behaviour: 'page', status: 200, times: 1 });
    await expect(ask('GET', '/v1/charges?reference=order-1')).rejects.toThrow('JSON');
    await tell({ behaviour: 'endless', times: 1 });
    const response = await fetch(`${url}/v1/charges?reference=order-1`);
    let bytes = 0;
    for await (const chunk of response.body ?? []) if ((bytes += chunk.length) > 10_000_000) break;
    expect(bytes).toBeGreaterThan(10_000_000);
  });

  it('declines with a reason of odd text, refunds too when it is told so', async () => {
    const reason = `${'x'.repeat(499)}😀\u0000`;
    await tell({ behaviour: 'decline', reason, times: 1 });
    expect((await ask('POST', '/v1/charges', charge, 'order-1')).body.reason).toBe(reason);
    const { body } = await ask('POST', '/v1/charges', charge, 'order-2');
    await tell({ behaviour: 'decline', only: 'POST', times: 1 });
    const refund = { charge: body.id, amount: 1, currency: 'EUR' };
    expect((await ask('POST', '/v1/refunds', refund, 'refund-1')).status).toBe(402);
    expect((await ask('POST', '/v1/refunds', refund, 'refund-2')).status).toBe(201);
  });

  it('refuses to be told nonsense', async () => {
    expect((await tell({ behaviour: 'dance' })).status).toBe(400);
  });
});
