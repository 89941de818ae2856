// No migration may rewrite or lock a large table while the version before works on it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './folder.mjs';
import { faultsOfMigrations } from './migration-rules.mjs';

/** Tables that stay small, whatever is stored: the others grow with orders, or with what happens to them. */
const SMALL = {
  orders: ['followers', 'log', 'parked', 'parked_acts', 'intake', 'open_refunds'],
  payments: ['parked', 'parked_acts'],
  analytics: [
    ...['consumer_offsets', 'logs', 'progress', 'parked', 'parked_messages', 'parked_acts', 'projections', 'rebuilds'],
    ...['order_counts', 'revenue_totals', 'refunds'],
  ],
};

describe('the migrations', () => {
  it.each(Object.entries(SMALL))('of %s neither rewrite nor lock a large table', async (app, small) => {
    const folder = join(root, 'apps', app, 'migrations');
    const files = readdirSync(folder)
      .sort()
      .map((name) => ({ name, sql: readFileSync(join(folder, name), 'utf8') }));
    expect(files.length).toBeGreaterThan(0);
    expect(await faultsOfMigrations(files, small)).toEqual([]);
  });
});

const BEFORE = {
  name: '001_before.sql',
  sql: 'create table orders (id uuid primary key, total bigint); create index by_total on orders (total); create table intake (id int)',
};
/** @param {string} sql */
const faultsOf = (sql) => faultsOfMigrations([BEFORE, { name: '100_now.sql', sql }], ['intake']);

describe('a migration of a large table', () => {
  it.each([
    ['creates an index', 'create index i on orders (total)', 'keeps writers out'],
    ['drops an index', 'drop index by_total', 'drop it concurrently'],
    ['creates a unique constraint', 'alter table orders add unique (total)', 'builds an index'],
    ['adds a primary key', 'alter table orders add primary key (id)', 'builds an index'],
    ['adds a unique column', 'alter table orders add column a text unique', 'builds an index'],
    ['adds a check', 'alter table orders add check (total > 0)', 'not valid'],
    ['adds a column with a check', 'alter table orders add column a int check (a > 0)', 'not valid'],
    ['adds a foreign key', 'alter table orders add foreign key (id) references intake (id)', 'not valid'],
    ['validates a constraint', 'alter table orders validate constraint c', 'reads the table'],
    ['changes a type', 'alter table orders alter column total type numeric', 'rewrites the table'],
    ['sets not null', 'alter table orders alter total set not null', 'set not null'],
    ['adds a generated column', 'alter table orders add a int generated always as (1) stored', 'rewrites the table'],
    ['adds an identity', 'alter table orders add a int generated always as identity', 'rewrites the table'],
    ['adds a serial', 'alter table orders add a bigserial', 'rewrites the table'],
    ['adds a volatile default', 'alter table orders add a uuid default gen_random_uuid()', 'differs from row to row'],
    ['hides it in an expression', "alter table orders add a text default 'x' || clock_timestamp()", 'from row to row'],
    ['adds not null without a default', 'alter table orders add column a int not null', 'fails on rows'],
    ['becomes unlogged', 'alter table orders set unlogged', 'rewrites the table'],
    ['updates rows', "update orders set total = 0 where id = '1'", 'in steps'],
    ['deletes rows', 'delete from orders', 'in steps'],
    ['locks it', 'lock table intake, orders', 'keeps everybody out'],
    ['empties it', 'truncate orders', 'keeps everybody out'],
    ['drops a column', 'alter table orders drop column total', 'a later version'],
    ['drops it', 'drop table orders', 'a later version'],
    ['renames a column', 'alter table orders rename total to sum', 'a later version'],
    ['renames it', 'alter table orders rename to purchases', 'a later version'],
    ['clusters it', 'cluster orders using by_total', 'rewrite'],
    ['vacuums it', 'vacuum full orders', 'rewrite'],
    ['reindexes it', 'reindex table orders', 'concurrently'],
    ['refreshes a view', 'refresh materialized view v', 'concurrently'],
    ['hides what it does', "do $$ begin execute 'truncate orders'; end $$", 'do block'],
    ['calls a procedure', 'call tidy()', 'procedure'],
    [
      'changes rows inside of a query',
      'with gone as (delete from orders returning id) select count(*) from gone',
      'in steps',
    ],
    [
      'changes rows inside of an insert',
      'with o as (update orders set total = 0 returning id) insert into intake select 1',
      'in steps',
    ],
    ['names its schema', 'create index i on public.orders (total)', 'keeps writers out'],
    ['does it after something harmless', 'create table t (a int); truncate orders', 'keeps everybody out'],
    ['creates an index that may be left invalid', 'create index concurrently i on orders (total)', 'comes first'],
    [
      'mixes what runs outside of a transaction with more',
      'drop index concurrently if exists i; alter table orders add column a text',
      'a file of its own',
    ],
    ['gives a reason that says nothing', '-- accepted: yes\ntruncate orders', 'keeps everybody out'],
    ['gives a reason elsewhere', '-- accepted: it is empty before the first start\nselect 1; truncate orders', 'keeps'],
  ])('is refused when it %s', async (_what, sql, fault) => {
    expect(await faultsOf(sql)).toEqual([expect.stringContaining(fault)]);
  });

  it.each([
    ['adds a column', 'alter table orders add column a text'],
    ['adds a column with a constant default', "alter table orders add column a text not null default 'none'"],
    ['adds a column with a time', 'alter table orders add column a timestamptz default now()'],
    [
      'creates an index concurrently',
      'drop index concurrently if exists i;\ncreate index concurrently i on orders (total)',
    ],
    ['drops an index concurrently', 'drop index concurrently if exists by_total'],
    ['adds a check that is not valid', 'alter table orders add constraint c check (total > 0) not valid'],
    ['adds a constraint using an index', 'alter table orders add constraint c unique using index i'],
    [
      'creates a table with an index',
      'create table t (a int primary key); create index i on t (a); update t set a = 1',
    ],
    [
      'changes a small table',
      'create index i on intake (id); update intake set id = 1; alter table intake alter id type bigint',
    ],
    ['says why it may', '-- accepted: no version has stored an order yet, so the table is empty\ntruncate orders'],
    [
      'does more in the other direction',
      'alter table orders add a int;\n-- Down Migration\nalter table orders drop column a',
    ],
  ])('may be one that %s', async (_what, sql) => {
    expect(await faultsOf(sql)).toEqual([]);
  });

  it('is not looked at if it is older than the rules', async () => {
    expect(await faultsOfMigrations([BEFORE, { name: '041_old.sql', sql: 'truncate orders' }], [])).toEqual([]);
  });
});
