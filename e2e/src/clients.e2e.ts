import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '@tandem/tools/folder.mjs';
import { GATEWAY_URL, get, newCustomer } from './http.testing.ts';

// What a stranger does with /openapi.json: generates a client, compiles it, places an order.

const ORDER = `{
      customerId: process.env['CUSTOMER'] ?? '',
      currency: 'EUR',
      lines: [{ sku: 'Größe-1', quantity: 2, unitPrice: 1250 }],
      metadata: { channel: 'app' },
    }`;

const PROGRAMS = {
  'fetch.ts': `
    import createClient from 'openapi-fetch';
    import type { components, paths } from './generated/fetch.js';

    const api = createClient<paths>({ baseUrl: process.env['GATEWAY_URL'] ?? '' });
    const body: components['schemas']['PlaceOrder'] = ${ORDER};
    const header = { 'Idempotency-Key': body.customerId };
    const placed = await api.POST('/v1/orders', { params: { header }, body });
    if (placed.data === undefined) throw new Error(placed.error.code);
    const order: components['schemas']['Order'] = placed.data;
    const path = { id: order.id };
    const history = await api.GET('/v1/orders/{id}/events', { params: { path } });
    const [event] = history.data?.data ?? [];
    const total = event?.type === 'order.placed.v1' ? event.data.total : undefined;
    const unknown = await api.GET('/v1/orders/{id}', { params: { path: { id: '00000000-0000-7000-8000-000000000000' } } });
    console.log(JSON.stringify({ id: order.id, status: order.status, total, code: unknown.error?.code }));`,
  'sdk.ts': `
    import { client } from './generated/sdk/client.gen.js';
    import { getOrder, listOrderEvents, placeOrder, type PlaceOrder } from './generated/sdk/index.js';

    client.setConfig({ baseUrl: process.env['GATEWAY_URL'] ?? '' });
    const body: PlaceOrder = ${ORDER};
    const placed = await placeOrder({ headers: { 'Idempotency-Key': body.customerId }, body });
    if (placed.data === undefined) throw new Error(JSON.stringify(placed.error));
    const order = placed.data;
    const history = await listOrderEvents({ path: { id: order.id } });
    const [event] = history.data?.data ?? [];
    const total = event?.type === 'order.placed.v1' ? event.data.total : undefined;
    const unknown = await getOrder({ path: { id: '00000000-0000-7000-8000-000000000000' } });
    const code = unknown.error !== undefined && 'code' in unknown.error ? unknown.error.code : undefined;
    console.log(JSON.stringify({ id: order.id, status: order.status, total, code }));`,
};

const TSCONFIG = {
  compilerOptions: {
    ...{ target: 'es2024', lib: ['es2024', 'dom'], module: 'nodenext', types: ['node'] },
    ...{ strict: true, noUncheckedIndexedAccess: true, skipLibCheck: true, rootDir: '.', outDir: 'out' },
  },
  include: ['*.ts', 'generated'],
};

let folder: string;
const run = (...args: string[]) =>
  execFileSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], GATEWAY_URL, CUSTOMER: newCustomer() },
  });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tandem-clients-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  mkdirSync(join(folder, 'generated'));
  const { text } = await get('/openapi.json');
  const files = {
    'openapi.json': text,
    'package.json': '{"type":"module"}',
    'tsconfig.json': JSON.stringify(TSCONFIG),
  };
  for (const [name, content] of Object.entries({ ...files, ...PROGRAMS })) writeFileSync(join(folder, name), content);
  run(join(root, 'e2e', 'generate-clients.mjs'), join(folder, 'openapi.json'), join(folder, 'generated'));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a client generated from /openapi.json', () => {
  it('compiles strictly', () => {
    expect(run(join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder)).toBe('');
  }, 120_000);

  it.each(['fetch', 'sdk'])('places an order, reads its history, and knows the code of a problem: %s', (name) => {
    expect(JSON.parse(run(join(folder, 'out', `${name}.js`)))).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      status: 'placed',
      total: 2500,
      code: 'order_not_found',
    });
  });
});
