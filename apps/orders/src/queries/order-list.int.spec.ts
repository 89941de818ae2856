import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { OrderStatus } from '@tandem/contracts/order';
import type { OrderFilter } from '@tandem/contracts/order-queries';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import type { Pool } from 'pg';
import { firstIdAt } from '../order/order-ids.ts';
import { LIST_SETTINGS, listStatement } from './order-list.ts';
import { OrderQueries } from './order-queries.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));

const ORDERS = 1_000_000;
const FIRST_MS = Date.parse('2026-01-01T00:00:00.000Z');
/** One order every ten seconds: 115 days. */
const APART_MS = 10_000;
const timeOf = (n: number) => new Date(FIRST_MS + n * APART_MS).toISOString();

let database: TemporaryDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await temporaryDatabase(POSTGRES_URL, MIGRATIONS);
  pool = createPool({
    url: database.url,
    name: 'test',
    connectionsMax: 2,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 200_000,
    lockTimeoutMs: 5_000,
    idleInTransactionTimeoutMs: 5_000,
    settings: LIST_SETTINGS,
    onIdleError: () => undefined,
  });
  await load(ORDERS);
}, 240_000);

afterAll(async () => {
  await pool.end();
  await database.drop();
});

/**
 * As uneven as life: one customer has a third of all orders, one reference a fifth, one currency and one status nearly all, a few
 * values are rare, and some combinations of common values do not exist. Every tenth order has a reference of its own.
 */
const COLUMNS = {
  customer_id: `case when n % 10 < 3 then 'big' when n % 10 < 5 then 'own-' || n else 'c-' || n % 5000 end`,
  reference: `case when n % 10 between 3 and 4 then 'cart-1' when n % 10 = 5 then 'cart-' || n end`,
  currency: `case when n % 10 = 6 or n % 100000 = 13 then 'USD' when n % 1000 = 999 then 'JPY' else 'EUR' end`,
  status: `case when n >= ${ORDERS - 100} then 'placed' when n % 10 = 6 then 'delivered' when n % 50 = 1 then 'cancelled'
                when n % 50 = 2 then 'paid' when n % 10 = 5 or n % 100000 = 23 then 'shipped' else 'delivered' end`,
};
/** Values of each filter: what nearly all have, what some or few have, what none has. */
const VALUES: { [F in keyof OrderFilter]-?: string[] } = {
  customerId: ['big', 'c-7', 'own-3', 'nobody'],
  reference: ['cart-1', 'cart-5', 'nothing'],
  currency: ['EUR', 'USD', 'JPY', 'CHF'],
  status: OrderStatus.options,
  placedAfter: [timeOf(-1), timeOf(ORDERS - 500), timeOf(ORDERS)],
  placedBefore: [timeOf(ORDERS), timeOf(500), timeOf(0)],
};
const FILTERS = Object.keys(VALUES) as (keyof OrderFilter)[];
const each = (name: keyof OrderFilter) => VALUES[name].map((value) => ({ [name]: value }));
const PAIRS = FILTERS.flatMap((one, index) => FILTERS.slice(index + 1).map((other) => [one, other] as const));
/** Those of three filters and more, with all values of the columns and a narrow time. */
const LARGER = Array.from({ length: 2 ** FILTERS.length }, (_, bits) => FILTERS.filter((_, n) => bits & (1 << n)))
  .filter((names) => names.length > 2)
  .map((names) => {
    const values = (name: keyof OrderFilter) => (name.startsWith('placed') ? each(name).slice(1, 2) : each(name));
    const filters = names.reduce<object[]>(
      (all, name) => all.flatMap((filter) => values(name).map((value) => ({ ...filter, ...value }))),
      [{}],
    );
    return [names, filters as OrderFilter[]] as const;
  });

describe('of a million orders', () => {
  const cases: [string, OrderFilter[]][] = [
    ['nothing', [{}]],
    ...FILTERS.map((name): [string, OrderFilter[]] => [name, each(name) as OrderFilter[]]),
    ...PAIRS.map(([one, other]): [string, OrderFilter[]] => [
      `${one} and ${other}`,
      each(one).flatMap((filter) => each(other).map((more) => ({ ...filter, ...more }) as OrderFilter)),
    ]),
  ];

  const MIDDLE = firstIdAt(FIRST_MS + (ORDERS / 2) * APART_MS);
  async function expectTenRowsAtMost(filter: OrderFilter, limit: number, before?: string): Promise<void> {
    const { rowsRead, plan } = await explain({ filter, limit, before });
    if (rowsRead > 10 * limit) throw new Error(`${JSON.stringify({ filter, limit, before, rowsRead })}\n${plan}`);
  }

  it.each(cases)('a page by %s reads ten rows at most for each that it may show', async (_name, filters) => {
    for (const filter of filters)
      for (const limit of [1, 2, 20])
        for (const before of [undefined, MIDDLE]) await expectTenRowsAtMost(filter, limit, before);
  });

  it.each(LARGER.map(([names, filters]) => [names.join(', '), filters] as const))(
    'so does a page by %s',
    async (_name, filters) => {
      for (const filter of filters) await expectTenRowsAtMost(filter, 1);
      for (const filter of filters.filter((_, n) => n % 7 === 0)) await expectTenRowsAtMost(filter, 20, MIDDLE);
    },
  );

  it('a page that is full says whether another follows', async () => {
    const queries = new OrderQueries(pool);
    for (const filter of [
      { customerId: 'own-3' },
      { customerId: 'own-3', currency: 'EUR' },
      { customerId: 'c-7' },
      { status: 'placed' },
      { currency: 'JPY', placedAfter: timeOf(ORDERS - 2_500) },
      { placedBefore: timeOf(100) },
    ] as OrderFilter[]) {
      const all = (await plainly(filter, 101)).length;
      for (const limit of [1, 2, all - 1, all, all + 1].filter((limit) => limit > 0 && limit <= 100)) {
        const { orders, more } = await queries.list({ filter, limit });
        expect({ filter, limit, shown: orders.length, more }).toEqual({
          filter,
          limit,
          shown: Math.min(limit, all),
          more: all > limit,
        });
      }
    }
  });

  it('the pages of each pair, and of more filters, together are what a plain query finds, in its order', async () => {
    const queries = new OrderQueries(pool);
    for (const names of [...PAIRS, ...LARGER.map(([names]) => names)])
      for (const index of names.length === 2 ? [0, 1] : [1]) {
        const chosen: OrderFilter = Object.assign({}, ...names.map((name) => each(name)[index]));
        const expected = await plainly(chosen, 50);
        const seen: string[] = [];
        for (let before: string | undefined; ; before = seen.at(-1)) {
          const { orders, more } = await queries.list({ filter: chosen, limit: 20, before });
          seen.push(...orders.map(({ id }) => id));
          if (!more || seen.length >= 50) break;
        }
        expect({ chosen, ids: seen.slice(0, 50) }).toEqual({ chosen, ids: expected });
      }
  }, 240_000);

  it('times are exclusive on both sides', async () => {
    const queries = new OrderQueries(pool);
    const filter = { placedAfter: timeOf(10), placedBefore: timeOf(13) };
    const { orders } = await queries.list({ filter, limit: 20 });
    expect(orders.map(({ id }) => id)).toEqual([
      firstIdAt(FIRST_MS + 12 * APART_MS),
      firstIdAt(FIRST_MS + 11 * APART_MS),
    ]);
  });
});

interface PlanNode {
  'Node Type': string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  Plans?: PlanNode[];
}

/** The rows that all scans of the statement came upon, shown or not. */
async function explain(query: Parameters<typeof listStatement>[0]): Promise<{ rowsRead: number; plan: string }> {
  const { text, values } = listStatement(query);
  const { rows } = await pool.query(`explain (analyze, timing off, format json) ${text}`, values);
  const [{ Plan: root }] = rows[0]['QUERY PLAN'] as [{ Plan: PlanNode }];
  const readBy = (node: PlanNode): number => {
    const below = (node.Plans ?? []).reduce((sum, plan) => sum + readBy(plan), 0);
    // What another node has read already.
    if (!/(?<!Subquery |CTE )Scan$/.test(node['Node Type'])) return below;
    const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
    return below + (node['Actual Rows'] + removed) * node['Actual Loops'];
  };
  return { rowsRead: readBy(root), plan: JSON.stringify(root, null, 1) };
}

/** The same page as the words of the filter say it. */
async function plainly(filter: OrderFilter, limit: number): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `select id from orders
      where ($1::text is null or customer_id = $1) and ($2::text is null or reference = $2)
        and ($3::text is null or currency = $3) and ($4::text is null or status = $4)
        and ($5::timestamptz is null or (state ->> 'placedAt')::timestamptz > $5)
        and ($6::timestamptz is null or (state ->> 'placedAt')::timestamptz < $6)
      order by id desc limit ${limit}`,
    FILTERS.map((name) => filter[name] ?? null),
  );
  return rows.map(({ id }) => id);
}

/** Orders and the event that each is at, straight into the tables, indexed afterwards. */
async function load(orders: number): Promise<void> {
  const { rows: indexes } = await pool.query<{ name: string; definition: string }>(
    `select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
      where indrelid = 'orders'::regclass and not indisprimary`,
  );
  const id = `(lpad(to_hex(${FIRST_MS} + n * ${APART_MS}::bigint), 12, '0') || repeat('0', 20))::uuid`;
  await pool.query(`
    alter table orders set unlogged;
    alter table events set unlogged;
    alter table events disable trigger events_append_lock;
    ${indexes.map(({ name }) => `drop index ${name};`).join(' ')}
    insert into orders (id, customer_id, status, currency, reference, version, state)
      select ${id}, ${COLUMNS.customer_id}, ${COLUMNS.status}, ${COLUMNS.currency}, ${COLUMNS.reference}, 1,
             json_build_object('id', ${id}, 'placedAt',
                               to_char(to_timestamp((${FIRST_MS} + n * ${APART_MS}::bigint) / 1000.0) at time zone 'UTC',
                                       'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
        from generate_series(0, ${orders - 1}) as n;
    insert into events (order_id, version, type, data, at)
      select id, 1, 'order.placed.v1', '{}', now() from orders order by id;
    ${indexes.map(({ definition }) => `${definition};`).join(' ')}
    alter table events enable trigger events_append_lock;
  `);
  await pool.query('vacuum analyze orders');
  await pool.query('vacuum analyze events');
}
