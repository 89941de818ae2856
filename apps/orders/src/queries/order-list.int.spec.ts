import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { OrderStatus, RefundStatus } from '@tandem/contracts/order';
import type { OrderFilter } from '@tandem/contracts/order-queries';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import type { Pool } from 'pg';
import { dueStatement } from '../deadlines/payment-deadlines.ts';
import { unpaidStatement } from '../followers/payment-jobs.ts';
import { firstIdAt } from '../order/order-ids.ts';
import { LIST_SETTINGS, listStatement, PAGE_BYTES_MAX, type Statement } from './order-list.ts';
import { OrderQueries } from './order-queries.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));

const ORDERS = 1_000_000;
const FIRST_MS = Date.parse('2026-01-01T00:00:00.000Z');
/** One order every ten seconds: 115 days. */
const APART_MS = 10_000;
const FIRST = firstIdAt(0);
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
  refund_status: `case when n % 30 = 6 or n % 150 = 51 or n % 1000 = 503 then 'full' when n % 1000 = 2 then 'partial' else 'none' end`,
};
/** Values of each filter: what nearly all have, what some or few have, what none has. */
const VALUES: { [F in Exclude<keyof OrderFilter, 'placedAfter' | 'refundStatus'>]-?: string[] } = {
  customerId: ['big', 'c-7', 'own-3', 'nobody'],
  reference: ['cart-1', 'cart-5', 'nothing'],
  currency: ['EUR', 'USD', 'JPY', 'CHF'],
  status: OrderStatus.options,
  placedFrom: [timeOf(0), timeOf(ORDERS - 500), timeOf(ORDERS)],
  placedBefore: [timeOf(ORDERS), timeOf(500), timeOf(0)],
};
type Filter = keyof typeof VALUES;
const FILTERS = Object.keys(VALUES) as Filter[];
const each = (name: Filter) => VALUES[name].map((value) => ({ [name]: value }));
const PAIRS = FILTERS.flatMap((one, index) => FILTERS.slice(index + 1).map((other) => [one, other] as const));
/** Those of three filters and more, with all values of the columns and a narrow time. */
const LARGER = Array.from({ length: 2 ** FILTERS.length }, (_, bits) => FILTERS.filter((_, n) => bits & (1 << n)))
  .filter((names) => names.length > 2)
  .map((names) => {
    const values = (name: Filter) => (name.startsWith('placed') ? each(name).slice(1, 2) : each(name));
    const filters = names.reduce<object[]>(
      (all, name) => all.flatMap((filter) => values(name).map((value) => ({ ...filter, ...value }))),
      [{}],
    );
    return [names, filters as OrderFilter[]] as const;
  });

/**
 * Five for each reading of an index, and ten for each order shown. The statuses are read one by one where none is asked for and a
 * customer, a reference or a currency is, but for the one order of a customer and a reference.
 */
function buffersMax({ customerId, reference, currency, status, refundStatus }: OrderFilter, shown: number): number {
  const isSplit =
    status === undefined &&
    [customerId, reference, currency, refundStatus].some((value) => value !== undefined) &&
    (customerId === undefined || reference === undefined);
  return 5 * (isSplit ? OrderStatus.options.length : 1) + 10 * shown;
}

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
  async function expectFewBuffers(filter: OrderFilter, limit: number, before?: string): Promise<void> {
    const { buffers, shown, plan } = await explain(listStatement({ filter, limit, before }));
    if (buffers > buffersMax(filter, shown))
      throw new Error(`${JSON.stringify({ filter, limit, before, shown, buffers })}\n${plan}`);
  }
  it.each(cases)(
    'a page by %s reads few buffers for each order that it shows, and as few when it shows none',
    async (_name, filters) => {
      for (const filter of filters)
        for (const limit of [1, 2, 20, 100])
          for (const before of [undefined, MIDDLE]) await expectFewBuffers(filter, limit, before);
    },
  );

  it.each(LARGER.map(([names, filters]) => [names.join(', '), filters] as const))(
    'a page by %s reads few buffers, too',
    async (_name, filters) => {
      for (const filter of filters) await expectFewBuffers(filter, 1);
      for (const filter of filters.filter((_, n) => n % 7 === 0)) await expectFewBuffers(filter, 20, MIDDLE);
    },
  );

  it('a page of refunded orders, by whatever else, reads few buffers and shows what a plain query finds', async () => {
    const queries = new OrderQueries(pool, pool);
    const names = FILTERS.filter((name) => !name.startsWith('placed'));
    const sets = Array.from({ length: 2 ** names.length }, (_, bits) => names.filter((_name, n) => bits & (1 << n)));
    for (const set of sets)
      for (const index of [0, 1, 2])
        for (const refundStatus of RefundStatus.options) {
          const chosen = Object.assign({ refundStatus }, ...set.map((name) => each(name)[index])) as OrderFilter;
          const { orders } = await queries.list({ filter: chosen, limit: 5 });
          const expected = await plainly(chosen, 5);
          expect({ chosen, ids: orders.map(({ id }) => id) }).toEqual({ chosen, ids: expected });
          if (refundStatus === 'none') continue;
          for (const limit of [1, 20]) await expectFewBuffers(chosen, limit);
        }
  });

  it('a page that is full says whether another follows', async () => {
    const queries = new OrderQueries(pool, pool);
    for (const filter of [
      { customerId: 'own-3' },
      { customerId: 'own-3', currency: 'EUR' },
      { customerId: 'c-7' },
      { status: 'placed' },
      { currency: 'JPY', placedFrom: timeOf(ORDERS - 2_500) },
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
    const queries = new OrderQueries(pool, pool);
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

  it('a range of times has its beginning and not its end, so that adjoining ranges have each order once', async () => {
    const queries = new OrderQueries(pool, pool);
    const numbersOf = async (filter: OrderFilter) => {
      const { orders } = await queries.list({ filter, limit: 20 });
      return orders.map(({ placedAt }) => (Date.parse(placedAt) - FIRST_MS) / APART_MS);
    };
    expect(await numbersOf({ placedFrom: timeOf(10), placedBefore: timeOf(13) })).toEqual([12, 11, 10]);
    expect(await numbersOf({ placedFrom: timeOf(13), placedBefore: timeOf(15) })).toEqual([14, 13]);
    // The older name, which excludes its own time; of both the later counts.
    expect(await numbersOf({ placedAfter: timeOf(10), placedBefore: timeOf(13) })).toEqual([12, 11]);
    expect(await numbersOf({ placedAfter: timeOf(10), placedFrom: timeOf(12), placedBefore: timeOf(13) })).toEqual([
      12,
    ]);
    expect(await numbersOf({ placedAfter: timeOf(11), placedFrom: timeOf(9), placedBefore: timeOf(13) })).toEqual([12]);
  });

  it('the looks for orders past their payment deadline, and for those to ask payment for again, read few buffers', async () => {
    const NEVER_MS = Date.now();
    const unpaid = Date.now() - FIRST_MS - (ORDERS - 50.5) * APART_MS;
    const looks: [Statement, number, number][] = [
      [dueStatement(NEVER_MS, 1), 0, 5],
      [dueStatement(NEVER_MS, 250), 0, 10],
      [dueStatement(unpaid, 250), 50, 10],
      [unpaidStatement(FIRST, NEVER_MS, 1_000), 0, 20],
      [unpaidStatement(FIRST, unpaid, 1_000), 50, 20 + 5 * 50],
    ];
    for (const [statement, shown, buffersMax] of looks) {
      const look = await explain(statement);
      expect([statement.values, look.shown]).toEqual([statement.values, shown]);
      if (look.buffers > buffersMax) throw new Error(`${look.buffers} buffers for ${shown}\n${look.plan}`);
    }
  });

  it('a page reads no more than itself from each index, though nothing is known to be visible to all', async () => {
    await pool.query(`update orders set version = version where id >= $1`, [
      firstIdAt(FIRST_MS + (ORDERS - 2_000) * APART_MS),
    ]);
    const none = { placedFrom: timeOf(ORDERS), placedBefore: timeOf(ORDERS + 1) };
    for (const filter of [none, { ...none, status: 'placed' }, { ...none, currency: 'EUR' }] as OrderFilter[]) {
      const { buffers, plan } = await explain(listStatement({ filter, limit: 20 }));
      const readings = buffersMax(filter, 0) / 5;
      // Of each order that was changed its former version, too.
      if (buffers > readings * (5 + 2 * 21)) throw new Error(`${JSON.stringify({ filter, buffers })}\n${plan}`);
    }
  });
});

describe('of large orders', () => {
  const LARGE = 30;
  const BYTES = 40_000;
  const reference = 'large';
  const filter: OrderFilter = { reference };
  const [eventsOf] = [firstIdAt(FIRST_MS + ORDERS * APART_MS)];

  beforeAll(async () => {
    const id = `(lpad(to_hex(${FIRST_MS + ORDERS * APART_MS} + n), 12, '0') || repeat('0', 20))::uuid`;
    const text = `string_agg(md5(random()::text), '')`;
    const filler = `(select ${text} from generate_series(1, ${BYTES / 32}) as m where n >= 0)`;
    await pool.query(`
      insert into orders (id, customer_id, status, currency, reference, refund_status, version, state)
        select ${id}, 'c-' || n, 'placed', 'EUR', '${reference}', 'none', 1,
               json_build_object('id', ${id}, 'metadata', json_build_object('filler', ${filler}))
          from generate_series(1, ${LARGE}) as n;
      insert into events (order_id, version, type, data, at)
        select id, 1, 'order.delivered.v1', '{}', now() from orders where reference = '${reference}' order by id;
      insert into events (order_id, version, type, data, at)
        select '${eventsOf}', n, 'order.cancelled.v1', json_build_object('reason', ${filler}), now() from generate_series(1, ${LARGE}) as n`);
  });

  it('a page ends where it is large enough, and the pages together hold each order once', async () => {
    const queries = new OrderQueries(pool, pool);
    const seen: string[] = [];
    for (let before: string | undefined; ; before = seen.at(-1)) {
      const { orders, more } = await queries.list({ filter, limit: 100, before });
      expect(Buffer.byteLength(JSON.stringify(orders))).toBeLessThan(PAGE_BYTES_MAX + 2 * BYTES);
      seen.push(...orders.map(({ id }) => id));
      if (!more) break;
      expect(orders.length).toBeGreaterThan(1);
    }
    expect(seen).toEqual([...new Set(seen)].sort().reverse());
    expect(seen).toHaveLength(LARGE);
  });

  it('a page of their events does so, too', async () => {
    const queries = new OrderQueries(pool, pool);
    const seen: number[] = [];
    for (;;) {
      const { events, more } = await queries.events({ orderId: eventsOf, afterVersion: seen.at(-1) ?? 0, limit: 100 });
      expect(Buffer.byteLength(JSON.stringify(events))).toBeLessThan(PAGE_BYTES_MAX + 2 * BYTES);
      seen.push(...events.map(({ version }) => version));
      if (!more) break;
    }
    expect(seen).toEqual(Array.from({ length: LARGE }, (_, index) => index + 1));
  });
});

/** The orders that a page shows, and the buffers that its statement reads for them, wherever it finds them. */
async function explain({ text, values }: Statement) {
  const { rows } = await pool.query(`explain (analyze, buffers, timing off, format json) ${text}`, values);
  const [{ Plan: root }] = rows[0]['QUERY PLAN'] as [{ Plan: Record<string, number> }];
  const of = (name: string) => root[name] ?? NaN;
  const buffers = of('Shared Hit Blocks') + of('Shared Read Blocks');
  return { buffers, shown: of('Actual Rows'), plan: JSON.stringify(root, null, 1) };
}

/** The same page as the words of the filter say it. */
async function plainly(filter: OrderFilter, limit: number): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `select id from orders
      where ($1::text is null or customer_id = $1) and ($2::text is null or reference = $2)
        and ($3::text is null or currency = $3) and ($4::text is null or status = $4)
        and ($5::timestamptz is null or (state ->> 'placedAt')::timestamptz >= $5)
        and ($6::timestamptz is null or (state ->> 'placedAt')::timestamptz < $6)
        and ($7::text is null or refund_status = $7)
      order by id desc limit ${limit}`,
    [...FILTERS.map((name) => filter[name] ?? null), filter.refundStatus ?? null],
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
    insert into orders (id, customer_id, status, currency, reference, refund_status, version, state)
      select ${id}, ${COLUMNS.customer_id}, ${COLUMNS.status}, ${COLUMNS.currency}, ${COLUMNS.reference}, ${COLUMNS.refund_status}, 1,
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
