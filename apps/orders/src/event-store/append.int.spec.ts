import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import type { Pool, PoolClient } from 'pg';
import { placed, recorded } from '../order/rulebook.testing.ts';
import { append } from './append.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));
const WRITERS = 12;
const APPENDS_EACH = 60;
const EVENTS_EACH = 8;
/** How often a load is repeated that has not yet met the moment in which an append goes wrong: it may be microseconds. */
const LOADS_MAX = 30;

let database: TemporaryDatabase;
let pool: Pool;

beforeEach(async () => {
  database = await temporaryDatabase(POSTGRES_URL, MIGRATIONS);
  const limits = { statementTimeoutMs: 10_000, lockTimeoutMs: 10_000, idleInTransactionTimeoutMs: 10_000 };
  pool = createPool({
    url: database.url,
    name: 'test',
    connectionsMax: WRITERS + 1,
    connectTimeoutMs: 5_000,
    onIdleError: () => undefined,
    ...limits,
  });
});

afterEach(async () => {
  await pool.end();
  await database.drop();
});

type Append = (client: PoolClient, orderIds: string[]) => Promise<unknown>;

/** Twelve writers against a reader that asks for what follows its last position: how many events it never saw. */
async function skippedBy(appendOnce: Append): Promise<number> {
  const seen = new Set<bigint>();
  let writing = true;
  const { rows: former } = await pool.query<{ last: bigint | null }>('select max(position) as last from events');
  const start = former[0]?.last ?? 0n;
  const reading = (async () => {
    let last = start;
    for (;;) {
      // Asked before the read: one that began while a writer was at work may have missed that writer's last commit.
      const allWritten = !writing;
      const text = 'select position from events where position > $1 order by position';
      const { rows } = await pool.query<{ position: bigint }>({ name: 'follow', text, values: [last] });
      for (const { position } of rows) seen.add(position);
      last = rows.at(-1)?.position ?? last;
      if (allWritten && rows.length === 0) return;
    }
  })();
  const writers = Array.from({ length: WRITERS }, async () => {
    const client = await pool.connect();
    try {
      for (let turn = 0; turn < APPENDS_EACH; turn += 1)
        await appendOnce(
          client,
          Array.from({ length: EVENTS_EACH }, () => randomUUID()),
        );
    } finally {
      client.release();
    }
  });
  await Promise.all(writers);
  writing = false;
  await reading;
  const { rows } = await pool.query<{ position: bigint }>('select position from events where position > $1', [start]);
  expect(rows).toHaveLength(WRITERS * APPENDS_EACH * EVENTS_EACH);
  return rows.filter(({ position }) => !seen.has(position)).length;
}

const INSERT = `insert into events (order_id, version, type, data, at)
                select t.order_id, 1, 'order.placed.v1', '{}', now() from unnest($1::uuid[]) as t(order_id)`;
const JOINED = `with l as materialized (select pg_advisory_xact_lock(42)),
                e as (insert into events (order_id, version, type, data, at)
                      select t.order_id, 1, 'order.placed.v1', '{}', now()
                        from l cross join unnest($1::uuid[]) as t(order_id) returning position)
                select min(position) from e`;
const one =
  (text: string): Append =>
  (client, orderIds) =>
    client.query(text, [orderIds]);

describe('the append', () => {
  it('never shows a smaller position later: twelve writers, one reader, none skipped', async () => {
    const skipped = await skippedBy((client, orderIds) => {
      const events = orderIds.flatMap((orderId) => recorded([placed], orderId));
      const outcomes = orderIds.map((orderId) => {
        return { commandId: randomUUID(), payloadHash: randomUUID(), orderId, version: 1, rejection: null };
      });
      return append(client, { outcomes, orders: [], events, at: new Date().toISOString() });
    });
    expect(skipped).toBe(0);
  });

  it('is guarded by the trigger too: inserts without any lock of their own skip nothing', async () => {
    expect(await skippedBy(one(INSERT))).toBe(0);
  });
});

// The shapes that look right and are not: the test above must see each of them fail, or it proves nothing.
describe('without the guard, the same test catches', () => {
  beforeEach(() => pool.query('drop trigger events_append_lock on events'));

  const SHAPES: [string, string[], Append][] = [
    [
      'an insert that is not joined to the lock',
      [],
      one(`with l as materialized (select pg_advisory_xact_lock(42)), e as (${INSERT} returning position)
           select (select min(position) from e), (select count(*) from l)`),
    ],
    [
      'a lock that nothing refers to',
      [],
      one(`with l as materialized (select pg_advisory_xact_lock(42)), e as (${INSERT} returning position)
           select min(position) from e`),
    ],
    ['a lock in RETURNING', [], one(`${INSERT} returning position, pg_advisory_xact_lock(42)`)],
    [
      'a lock in a row trigger',
      [
        `create function lock_row() returns trigger language plpgsql as
           $$ begin perform pg_advisory_xact_lock(42); return new; end $$`,
        'create trigger lock_row before insert on events for each row execute function lock_row()',
      ],
      one(INSERT),
    ],
    [
      'a session lock that is released before the commit',
      [],
      async (client, orderIds) => {
        await client.query('begin');
        await client.query('select pg_advisory_lock(42)');
        await client.query(INSERT, [orderIds]);
        await client.query('select pg_advisory_unlock(42)');
        // The moment in which a later writer overtakes, as wide as a busy machine makes it.
        await client.query('select pg_sleep(random() * 0.01)');
        await client.query('commit');
      },
    ],
    ['numbers that a session keeps for later', ['alter table events alter position set cache 50'], one(JOINED)],
  ];

  it.each(SHAPES)(
    '%s',
    async (_shape, preparation, appendOnce) => {
      for (const statement of preparation) await pool.query(statement);
      let skipped = 0;
      for (let loads = 0; loads < LOADS_MAX && skipped === 0; loads += 1) skipped = await skippedBy(appendOnce);
      expect(skipped).toBeGreaterThan(0);
    },
    240_000,
  );
});
