import { randomUUID } from 'node:crypto';
import { databaseOf } from './log.testing.ts';
import type { OwnService } from './services.testing.ts';
import { startSystem, type System } from './system.testing.ts';
import { until } from './waiting.testing.ts';

// A rolling deployment in its worst order: the gateway first, and orders forth and back. The next version has one optional and one
// defaulted field more in an order.

let system: System;
let gateway: OwnService;
let nextGateway: OwnService;
let orders: OwnService;

const NEXT = { NEXT_VERSION: 'yes' };
const body = { customerId: 'c-1', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 1, unitPrice: 100 }] };

beforeAll(async () => {
  system = await startSystem();
  [gateway, nextGateway, orders] = await Promise.all([
    system.start('gateway'),
    system.start('gateway', NEXT),
    system.start('orders'),
    system.start('analytics'),
  ]);
}, 300_000);
afterAll(() => system?.close());

async function place(at: OwnService, key: string, more: object = {}) {
  const response = await fetch(`${at.url}/v1/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ ...body, ...more }),
    signal: AbortSignal.timeout(15_000),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  return {
    status: response.status,
    code: answer['code'],
    id: answer['id'],
    replayed: response.headers.get('idempotency-replayed') === 'true',
    retryAfter: response.headers.get('retry-after'),
    detail: answer['detail'],
  };
}

/** Replaces orders by one of another version; the gateways wait for it. */
async function replaceOrders(more: Record<string, string> = {}) {
  const next = await system.start('orders', more);
  expect(await orders.stop()).toBe(0);
  orders = next;
}

describe('invariant 5: one version of difference', () => {
  const first = randomUUID();
  const second = randomUUID();
  const wrapped = randomUUID();
  const third = randomUUID();
  const placed = new Map<string, unknown>();
  const keep = (key: string, answer: { status: number; id: unknown }) => {
    expect(answer).toMatchObject({ status: 201, replayed: false });
    placed.set(key, answer.id);
  };
  const expectReplays = async (keys: string[]) => {
    for (const key of keys)
      for (const at of [gateway, nextGateway])
        expect(await place(at, key)).toMatchObject({ status: 201, replayed: true, id: placed.get(key) });
  };

  it('lets a later gateway place orders that use nothing new at an earlier orders', async () => {
    keep(first, await place(nextGateway, first));
    keep(second, await place(gateway, second));
    await expectReplays([first, second]);
  });

  it('answers 503 with what is not known yet when an order uses it, and does nothing', async () => {
    for (const more of [{ giftNote: 'For you' }, { giftWrap: true }]) {
      const refused = await place(nextGateway, wrapped, more);
      expect(refused).toMatchObject({
        status: 503,
        code: 'version_differs',
        retryAfter: expect.stringMatching(/^\d+$/),
      });
      expect(refused.detail).toContain(Object.keys(more)[0]);
    }
    const events = await databaseOf(system, 'orders');
    const { rows } = await events.query('select count(*)::int as count from commands');
    await events.end();
    expect(rows).toEqual([{ count: 2 }]);
  });

  it('answers retries across the deployment of orders as the first, whichever gateway they take', async () => {
    await replaceOrders(NEXT);
    await expectReplays([first, second]);
  });

  it('takes what was refused once orders knows it, under the same key', async () => {
    keep(wrapped, await place(nextGateway, wrapped, { giftNote: 'For you', giftWrap: true }));
    expect(await place(nextGateway, wrapped)).toMatchObject({ status: 422, code: 'key_reused' });
  });

  it('lets an earlier gateway place orders at a later orders, and answers their retries after it was rolled back', async () => {
    keep(third, await place(gateway, third));
    await expectReplays([third]);
    await replaceOrders();
    await expectReplays([first, second, third]);
  });

  it('counts what a later orders has written, and parks nothing', async () => {
    await until('everything is counted', async () => {
      const response = await fetch(`${gateway.url}/v1/analytics/summary`);
      const summary = (await response.json()) as { orders: { placed: number }; parked: number };
      expect(summary.parked).toBe(0);
      return summary.orders.placed === placed.size;
    });
  });
});
