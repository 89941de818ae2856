import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import { ParkedMessages, type MessageToPark } from '@tandem/transports/rabbitmq/parked-messages';
import { until } from '@tandem/transports/rabbitmq/rabbitmq.testing';
import type { Pool } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { readConfig } from './config.ts';
import { DatabaseWatch } from './database-watch.ts';
import { FOLLOWER } from './followers/relay.ts';
import { checkParked, checkPublished } from './readiness.ts';

const LIMITS = {
  connectionsMax: 2,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 3_000,
  lockTimeoutMs: 3_000,
  idleInTransactionTimeoutMs: 3_000,
  onIdleError: () => undefined,
};

let database: TemporaryDatabase;
let pool: Pool;

beforeAll(async () => {
  const migrations = fileURLToPath(new URL('../migrations', import.meta.url));
  database = await temporaryDatabase(readConfig().POSTGRES_URL, migrations);
  pool = createPool({ ...LIMITS, url: database.url, name: 'test' });
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

  it('is unavailable while the database takes no changes, and while one transaction keeps the lock of the appends', async () => {
    const watch = new DatabaseWatch({ pool, everyMs: 20, lockMsMax: 300 });
    const others = createPool({ ...LIMITS, idleInTransactionTimeoutMs: 60_000, url: database.url, name: 'other' });
    const other = await others.connect();
    watch.start();
    try {
      expect(await watch.check()).toEqual({ status: 'ok' });
      await other.query('begin; select pg_advisory_xact_lock(42)');
      const { rows } = await other.query('select pg_backend_pid() as pid');
      await until('it is noticed', async () => (await watch.check()).status === 'unavailable', 30_000);
      expect((await watch.check()).reason).toContain(`process ${rows[0].pid} of the database holds the lock`);
      await other.query('rollback');
      expect(await watch.check()).toEqual({ status: 'ok' });

      // Many who take it in turn are the usual work.
      const busy = (async () => {
        for (const end = performance.now() + 600; performance.now() < end;)
          await other.query('begin; select pg_advisory_xact_lock(42); commit');
      })();
      await busy;
      expect(await watch.check()).toEqual({ status: 'ok' });

      const name = new URL(database.url).pathname.slice(1);
      await other.query(`alter database ${name} set default_transaction_read_only = on`);
      const restricted = createPool({ ...LIMITS, url: database.url, name: 'test' });
      const readOnly = new DatabaseWatch({ pool: restricted, everyMs: 20, lockMsMax: 300 });
      expect(await readOnly.check()).toEqual({ status: 'unavailable', reason: 'the database is read-only' });
      await restricted.end();
      await other.query(`alter database ${name} reset default_transaction_read_only`);
    } finally {
      await watch.stop();
      other.release();
      await others.end();
    }
  });

  it('says when the clock of this host is not that of the database, by which orders are dated', async () => {
    const watch = new DatabaseWatch({ pool, everyMs: 20, lockMsMax: 300 });
    const before = Date.now();
    // The first is asked for, and the others are not.
    const first = await watch.now();
    expect(watch.now()).toBeInstanceOf(Date);
    expect(first.getTime()).toBeGreaterThan(before - 1_000);
    expect(watch.checkClock()).toEqual({ status: 'ok' });
    watch.clock.learn(performance.now(), performance.now(), Date.now() + 90_000_000);
    expect(watch.checkClock()).toEqual({
      status: 'degraded',
      reason: expect.stringMatching(/^this host's clock is (90000|89999\.9) s behind the database's$/),
    });
    expect((await watch.now()).getTime()).toBeGreaterThan(Date.now() + 89_000_000);
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
