import { mkdtempSync, rmSync } from 'node:fs';
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
    headers: { connection: 'close', ...(key === undefined ? {} : { 'idempotency-key': key }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever comes back
  return { status: response.status, body: (await response.json()) as any };
}

const charge = { amount: 2_990, currency: 'EUR', method: 'card' };
const tell = (behaviour: unknown) => ask('PUT', '/control', behaviour);

describe('the provider', () => {
  it('charges once per key, and finds the charge by its key, after a restart, too', async () => {
    const first = await ask('POST', '/v1/charges', charge, 'order-1');
    expect([first.status, first.body.status]).toEqual([201, 'approved']);
    await provider.close();
    await start();
    expect(await ask('POST', '/v1/charges', charge, 'order-1')).toEqual(first);
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

  it('refuses to be told nonsense', async () => {
    expect((await tell({ behaviour: 'dance' })).status).toBe(400);
  });
});
