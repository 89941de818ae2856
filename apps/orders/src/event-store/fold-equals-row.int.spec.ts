import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { OrderState } from '@tandem/contracts/order';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import fc from 'fast-check';
import type { Pool } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { fold } from '../order/order.ts';
import {
  cancelling,
  closing,
  delivering,
  expiring,
  placing,
  recordingDecline,
  recordingPayment,
  recordingRefund,
  recordingRefundDecline,
  refunding,
  shipping,
} from '../order/rulebook.testing.ts';
import type { Command } from './decide-batch.ts';
import { GroupCommit } from './group-commit.ts';
import { load } from './load.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));

let database: TemporaryDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await temporaryDatabase(POSTGRES_URL, MIGRATIONS);
  const limits = { statementTimeoutMs: 5_000, lockTimeoutMs: 5_000, idleInTransactionTimeoutMs: 5_000 };
  const own = { name: 'test', connectionsMax: 4, connectTimeoutMs: 5_000, onIdleError: () => undefined };
  pool = createPool({ url: database.url, ...own, ...limits });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** What is sent: which of a few orders, which command, with an id of its own or one that was used before. */
const anyStep = fc.record({
  order: fc.nat({ max: 3 }),
  kind: fc.constantFrom(
    // Twice, so that enough of the others find an order.
    'place',
    'place',
    'pay',
    'pay',
    'payOtherwise',
    'decline',
    'ship',
    'shipOne',
    'deliver',
    'refund',
    'refundSome',
    'refundOne',
    'recordRefund',
    'recordRefundSome',
    'declineRefund',
    'declineRefundSome',
    'closeRefund',
    'expire',
    'cancel',
    'cancelStale',
    'wrongTotal',
  ),
  id: fc.option(fc.nat({ max: 5 })),
  instance: fc.nat({ max: 1 }),
});

describe('whatever commands come, in whatever groups, to whichever instance', () => {
  it('each row is the fold of its events, versions have no gap, and each command id has one outcome', async () => {
    const schedule = fc.array(fc.array(anyStep, { minLength: 1, maxLength: 10 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(schedule, async (groups) => {
        const options = { pool, commandsMax: 3, unavailableAfterMs: 500, retryPauseMs: 5, onAppended: () => undefined };
        const instances = [new GroupCommit(options), new GroupCommit(options)];
        const orders = Array.from({ length: 4 }, () => uuidv7());
        const ids = Array.from({ length: 6 }, () => randomUUID());
        const sent: string[] = [];
        const kept = new Set<string>();
        for (const group of groups) {
          const replies = group.map(({ order, kind, id, instance }) => {
            const orderId = orders[order] as string;
            const what = {
              place: { ...placing(), orderId },
              wrongTotal: { ...placing({ expectedTotal: 1 }), orderId },
              pay: { ...recordingPayment(), orderId },
              payOtherwise: { ...recordingPayment({ paymentId: 'p-2' }), orderId },
              decline: { ...recordingDecline(), orderId },
              ship: { ...shipping(), orderId },
              shipOne: { ...shipping([{ id: 1, quantity: 1 }]), orderId },
              deliver: { ...delivering(), orderId },
              refund: { ...refunding(), orderId },
              refundSome: { ...refunding({ amount: 500 }), orderId },
              refundOne: { ...refunding({ lines: [{ id: 1, quantity: 1 }] }), orderId },
              recordRefund: { ...recordingRefund(), orderId },
              recordRefundSome: { ...recordingRefund({ amount: 500 }), orderId },
              declineRefund: { ...recordingRefundDecline(), orderId },
              declineRefundSome: { ...recordingRefundDecline({ amount: 500 }), orderId },
              closeRefund: { ...closing(), orderId },
              expire: { ...expiring, orderId },
              cancel: { ...cancelling(), orderId },
              cancelStale: { ...cancelling({}, 7), orderId },
            }[kind];
            // An order's placing has an id of its own: in life no two commands place the same order.
            const commandId = kind === 'place' ? orderId : id === null ? randomUUID() : (ids[id] as string);
            sent.push(commandId);
            const command: Command = { id: commandId, payloadHash: asHash(`${kind}${order}`), order: what };
            return (instances[instance] as GroupCommit)
              .execute(command, () => 10_000)
              .then((reply) => {
                if (reply.outcome === 'accepted' || !NOT_KEPT.includes(reply.rejection.code)) kept.add(commandId);
              });
          });
          await Promise.all(replies);
        }
        const { streams, outcomes } = await load(pool, { commandIds: sent, orderIds: orders, references: [] });
        const { rows } = await pool.query(
          'select id, version, status, refund_status as "refundStatus", state from orders where id = any($1)',
          [orders],
        );
        expect(rows).toHaveLength(streams.size);
        for (const row of rows) {
          const history = streams.get(row.id) ?? [];
          expect(history.map(({ version }) => version)).toEqual(history.map((_, index) => index + 1));
          const order = fold(history);
          const { version, status, refundStatus } = order as OrderState;
          expect(row).toMatchObject({ version, status, refundStatus });
          expect(row.state).toEqual(order);
          const sum = (type: string) =>
            history.reduce((all, { type: is, data }) => (is === type && 'amount' in data ? all + data.amount : all), 0);
          const [paid, refunded] = [sum('order.payment-recorded.v1'), sum('order.refund-recorded.v1')];
          const refunds = row.state.refunds ?? [];
          const open = refunds.filter(({ declined, closed, recordedAt }: Refund) => !declined || closed || recordedAt);
          const asked = open.reduce((all: number, { amount }: Refund) => all + amount, 0);
          expect([refunded <= asked, asked <= paid, paid <= row.state.total]).toEqual([true, true, true]);
        }
        expect(new Set(outcomes.keys())).toEqual(kept);
      }),
      { numRuns: 60 },
    );
  });
});

it('orders that were refunded by the version before get their refund status by a migration', async () => {
  const options = { pool, commandsMax: 3, unavailableAfterMs: 500, retryPauseMs: 5, onAppended: () => undefined };
  const commits = new GroupCommit(options);
  const expected = { none: [] as number[], partial: [500], full: [500, 2490] };
  const ids = new Map<string, string>();
  for (const [status, amounts] of Object.entries(expected)) {
    const orderId = uuidv7();
    ids.set(orderId, status);
    const commands: Command['order'][] = [placing(), recordingPayment(), refunding({ amount: 500 }), refunding()];
    for (const [index, amount] of amounts.entries()) commands.push(recordingRefund({ refundId: index + 1, amount }));
    for (const command of commands) {
      const reply = await commits.execute(
        { id: randomUUID(), payloadHash: randomUUID(), order: { ...command, orderId } },
        () => 10_000,
      );
      expect(reply.outcome).toBe('accepted');
    }
  }
  const statuses = async () => {
    const query = 'select id, refund_status from orders where id = any($1)';
    const { rows } = await pool.query<{ id: string; refund_status: string }>(query, [[...ids.keys()]]);
    return new Map(rows.map((row) => [row.id, row.refund_status]));
  };
  expect(await statuses()).toEqual(ids);
  await pool.query(`update orders set refund_status = 'none'`);
  const migration = readFileSync(`${MIGRATIONS}/121_refund-status-of-refunded.sql`, 'utf8');
  await pool.query(migration.split('-- Down Migration')[0] as string);
  expect(await statuses()).toEqual(ids);
});

/** Refusals of orders that were never placed, and of ids that belong to another command. */
const NOT_KEPT = ['order_not_found', 'key_reused'];

type Refund = Extract<OrderState, { refunds: unknown }>['refunds'][number];

/** A text as the UUID that a payload hash is. */
function asHash(text: string): string {
  const hex = Buffer.from(text).toString('hex').padEnd(32, '0').slice(0, 32);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
