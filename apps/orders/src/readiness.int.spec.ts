import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import { ParkedMessages, type MessageToPark } from '@tandem/transports/rabbitmq/parked-messages';
import type { Pool } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { readConfig } from './config.ts';
import { FOLLOWER } from './followers/relay.ts';
import { checkParked, checkPublished } from './readiness.ts';

let database: TemporaryDatabase;
let pool: Pool;

beforeAll(async () => {
  const migrations = fileURLToPath(new URL('../migrations', import.meta.url));
  database = await temporaryDatabase(readConfig().POSTGRES_URL, migrations);
  pool = createPool({
    url: database.url,
    name: 'test',
    connectionsMax: 2,
    connectTimeoutMs: 1_000,
    statementTimeoutMs: 3_000,
    lockTimeoutMs: 3_000,
    idleInTransactionTimeoutMs: 3_000,
    onIdleError: () => undefined,
  });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

async function appendAgo(seconds: number): Promise<bigint> {
  const { rows } = await pool.query<{ position: bigint }>(
    `insert into events (order_id, version, type, data, at)
     values ($1, 1, 'order.delivered.v1', '{}', now() - $2::integer * interval '1 second') returning position`,
    [uuidv7(), seconds],
  );
  return rows[0]?.position ?? 0n;
}

describe('the readiness of orders', () => {
  it('tells of events that nobody publishes, and is well when they are published', async () => {
    expect(await checkPublished(pool, FOLLOWER)).toEqual({ status: 'ok' });
    await appendAgo(0);
    expect(await checkPublished(pool, FOLLOWER)).toEqual({ status: 'ok' });
    await pool.query('delete from events');
    const position = await appendAgo(60);
    expect(await checkPublished(pool, FOLLOWER)).toMatchObject({
      status: 'degraded',
      reason: expect.stringContaining(`position ${position} on`),
    });
    await pool.query('insert into followers (name, position) values ($1, $2)', [FOLLOWER, position]);
    expect(await checkPublished(pool, FOLLOWER)).toEqual({ status: 'ok' });
  });

  it('tells of parked messages, until something was done with them', async () => {
    const url = readConfig().RABBITMQ_URL;
    const parked = new ParkedMessages({ pool, service: 'orders', table: 'parked', url });
    expect(await checkParked(parked)).toEqual({ status: 'ok' });
    const properties = { headers: {} } as MessageToPark['properties'];
    await parked.park({ queue: 'orders.commands', reason: 'not JSON', content: Buffer.from('x'), properties });
    expect(await checkParked(parked)).toEqual({ status: 'degraded', reason: '1 parked' });
    await parked.drop({ id: 'orders-1', by: 'somebody', reason: 'rubbish' });
    expect(await checkParked(parked)).toEqual({ status: 'ok' });
  });
});
