import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EventVersions } from '@tandem/contracts/event-versions';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import type { Pool } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { fold } from '../order/order.ts';
import { load } from './load.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));

let database: TemporaryDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await temporaryDatabase(POSTGRES_URL, MIGRATIONS);
  const limits = { statementTimeoutMs: 5_000, lockTimeoutMs: 5_000, idleInTransactionTimeoutMs: 5_000 };
  const own = { name: 'test', connectionsMax: 1, connectTimeoutMs: 5_000, onIdleError: () => undefined };
  pool = createPool({ url: database.url, ...own, ...limits });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** A version that was never published: one article, without currency, adjustments, delivery and payment. */
const versions = new EventVersions([
  {
    type: 'order.placed.draft',
    data: z.strictObject({ customer: z.string(), sku: z.string(), cents: z.int() }),
    next: 'order.placed.v1',
    upcast: ({ customer, sku, cents }: { customer: string; sku: string; cents: number }) => ({
      customerId: customer,
      currency: 'EUR',
      lines: [{ id: 1, sku, quantity: 1, unitPrice: cents }],
      adjustments: [],
      total: cents,
      delivery: 'standard',
      payment: { method: 'card' },
    }),
  },
]);

describe('an order whose first event is of a former version', () => {
  it('is loaded as if it had been placed today, with the events that followed', async () => {
    const orderId = uuidv7();
    await pool.query(
      `insert into events (order_id, version, type, data, at) values
         ($1, 1, 'order.placed.draft', '{"customer": "c-42", "sku": "A-1", "cents": 1250}', '2026-01-01T00:00:00Z'),
         ($1, 2, 'order.cancelled.v1', '{"cause": "customer"}', '2026-01-01T00:01:00Z')`,
      [orderId],
    );
    const { streams } = await load(pool, { commandIds: [], orderIds: [orderId], references: [] }, versions);
    const history = streams.get(orderId) ?? [];
    expect(history.map(({ type }) => type)).toEqual(['order.placed.v1', 'order.cancelled.v1']);
    expect(fold(history)).toMatchObject({
      id: orderId,
      version: 2,
      status: 'cancelled',
      customerId: 'c-42',
      total: 1_250,
      placedAt: '2026-01-01T00:00:00.000Z',
      cancellation: { cause: 'customer' },
    });
  });
});
