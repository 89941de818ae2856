import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import { until } from '@tandem/transports/rabbitmq/rabbitmq.testing';
import type { Pool } from 'pg';
import { GroupCommit } from '../event-store/group-commit.ts';
import { load } from '../event-store/load.ts';
import { commandOf } from '../order/command-handler.ts';
import { orderIds } from '../order/order-ids.ts';
import { cancelling, expiring, placing, recordingPayment } from '../order/rulebook.testing.ts';
import { PaymentDeadlines } from './payment-deadlines.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));
const HOUR_MS = 3_600_000;

let database: TemporaryDatabase;
let pool: Pool;
let commits: GroupCommit;
const newId = orderIds();

const started: PaymentDeadlines[] = [];

beforeEach(async () => {
  database = await temporaryDatabase(POSTGRES_URL, MIGRATIONS);
  const limits = { statementTimeoutMs: 10_000, lockTimeoutMs: 10_000, idleInTransactionTimeoutMs: 10_000 };
  const own = { name: 'test', connectionsMax: 6, connectTimeoutMs: 5_000, onIdleError: () => undefined };
  pool = createPool({ url: database.url, ...own, ...limits });
  commits = groupCommit();
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((deadlines) => deadlines.stop()));
  await pool.end();
  await database.drop();
});

const groupCommit = (now = () => new Date()) =>
  new GroupCommit({
    pool,
    commandsMax: 50,
    unavailableAfterMs: 1_000,
    retryPauseMs: 5,
    onAppended: () => undefined,
    now,
  });

/** One instance, as the service makes it, in a hurry. */
function start(deadlineMs: number, ordersMax = 20): PaymentDeadlines {
  const deadlines = new PaymentDeadlines({
    commits: groupCommit(),
    leadership: { url: database.url, idleTimeoutMs: 2_000, heartbeatMs: 200, retryMs: 20, statementTimeoutMs: 5_000 },
    deadlineMs,
    ordersMax,
    pollMs: 20,
    onFailure: () => undefined,
  });
  deadlines.start();
  started.push(deadlines);
  return deadlines;
}

/** Places orders this long ago. */
async function place(count: number, agoMs: number): Promise<string[]> {
  const then = groupCommit(() => new Date(Date.now() - agoMs));
  const ids = Array.from({ length: count }, () => newId(new Date(Date.now() - agoMs)));
  for (const orderId of ids)
    void then.execute({ id: orderId, payloadHash: orderId, order: { ...placing(), orderId } }, () => 30_000);
  await then.drained();
  return ids;
}

async function count(status: string): Promise<number> {
  const { rows } = await pool.query<{ count: bigint }>('select count(*) from orders where status = $1', [status]);
  return Number(rows[0]?.count);
}

/** How each order came to its end. */
async function endings(orderIds: string[]): Promise<string[][]> {
  const { streams } = await load(pool, { commandIds: [], orderIds, references: [] });
  return orderIds.map((orderId) =>
    (streams.get(orderId) ?? []).slice(1).map(({ type, data }) => ('cause' in data ? `${type} ${data.cause}` : type)),
  );
}

const EXPIRED = ['order.cancelled.v1 expired'];

describe('the deadline of a payment', () => {
  it('cancels what is still placed past it, and nothing else', async () => {
    const late = await place(5, 2 * HOUR_MS);
    const early = await place(5, HOUR_MS / 2);
    const [paid, closed] = await place(2, 2 * HOUR_MS);
    const execute = (order: Parameters<GroupCommit['execute']>[0]['order']) =>
      commits.execute({ id: randomUUID(), payloadHash: randomUUID(), order }, () => 10_000);
    await execute({ ...recordingPayment(), orderId: paid ?? '' });
    await execute({ ...cancelling(), orderId: closed ?? '' });
    start(HOUR_MS);
    await until('the late ones are cancelled', async () => (await count('cancelled')) === 6, 45_000);
    // A second look finds nothing more.
    const [also] = await place(1, 2 * HOUR_MS);
    await until('a later one is cancelled, too', async () => (await count('cancelled')) === 7, 45_000);
    expect(await endings([...late, also ?? ''])).toEqual(Array(6).fill(EXPIRED));
    expect(await endings(early)).toEqual(Array(5).fill([]));
    expect(await endings([paid ?? '', closed ?? ''])).toEqual([
      ['order.payment-recorded.v1'],
      ['order.cancelled.v1 customer'],
    ]);
  });

  it('fires once for each order, whichever of two instances leads, though leaders are killed and restarted meanwhile', async () => {
    const ids = await place(400, 2 * HOUR_MS);
    const instances = [start(HOUR_MS, 7), start(HOUR_MS, 7)];
    let kills = 0;
    await until(
      'all are cancelled',
      async () => {
        if (kills < 10 && (await killLeader())) kills += 1;
        if (kills === 5) {
          // Gone without a word, and another in its place.
          const [gone] = instances.splice(0, 1, start(HOUR_MS, 7));
          await gone?.stop();
          kills += 1;
        }
        return (await count('cancelled')) === ids.length;
      },
      45_000,
    );
    expect(kills).toBeGreaterThan(0);
    expect(await endings(ids)).toEqual(ids.map(() => EXPIRED));
  });

  it('fires once though two instances that both lead look at the same time', async () => {
    const ids = await place(100, 2 * HOUR_MS);
    // Two databases' worth of leadership: nothing keeps these two apart but the id of each command.
    const one = groupCommit();
    const other = groupCommit();
    const expire = (by: GroupCommit) =>
      ids.map((orderId) => by.execute(commandOf({ ...expiring, orderId }), () => 30_000));
    const replies = await Promise.all([...expire(one), ...expire(other)]);
    expect(replies.filter(({ replayed }) => !replayed)).toHaveLength(ids.length);
    expect(await endings(ids)).toEqual(ids.map(() => EXPIRED));
  });

  it('goes by the clock of the database: an order of its future is left alone', async () => {
    const [future] = await place(1, -HOUR_MS);
    const [late] = await place(1, 2 * HOUR_MS);
    start(1);
    await until('the late one is cancelled', async () => (await endings([late ?? '']))[0]?.length === 1, 45_000);
    expect(await endings([future ?? ''])).toEqual([[]]);
  });
});

/** Ends the connection of whoever leads. */
async function killLeader(): Promise<boolean> {
  const { rows } = await pool.query(
    `select pg_terminate_backend(pid) from pg_locks
      where locktype = 'advisory' and granted and objsubid = 2 and classid = 77
        and database = (select oid from pg_database where datname = current_database())`,
  );
  return rows.length > 0;
}
