import pg, { type ClientBase, type PoolClient } from 'pg';
import type { Projection, ProjectionTotals } from '../projections/projection.ts';

/** Where the shadow copy of a partition has come to. */
export interface ShadowOffset {
  nextOffset: bigint;
  mark: bigint;
}

/** The schema that holds a projection's tables while they are rebuilt, with their offsets. */
export function shadowSchema({ name }: Pick<Projection, 'name'>): string {
  return `rebuild_${name.replaceAll('-', '_')}`;
}

/** Makes an empty copy of a projection's tables, with all their constraints and indexes under the same names. */
export async function createShadow(client: ClientBase, projection: Projection): Promise<void> {
  const schema = pg.escapeIdentifier(shadowSchema(projection));
  await dropShadow(client, projection);
  await client.query(`create schema ${schema}`);
  for (const table of projection.tables) await copyTable(client, schema, table);
  await client.query(
    `create table ${schema}.shadow_offsets (
       partition   integer primary key,
       next_offset bigint not null default 0,
       mark        bigint not null default 0
     );
     -- Positions that were not counted because they were parked or dropped.
     create table ${schema}.shadow_skipped (position bigint primary key)`,
  );
}

/**
 * Has the shadow copy keep the keys of the rows that change from now on, which are then compared alone. Only for what little comes
 * after both copies were compared whole.
 */
export async function noteChanges(client: ClientBase, projection: Projection): Promise<void> {
  const schema = pg.escapeIdentifier(shadowSchema(projection));
  await ignoreChanges(client, projection);
  for (const table of projection.tables) {
    const keys = await keysOf(client, table);
    const [name, changed] = [pg.escapeIdentifier(table), pg.escapeIdentifier(changedOf(table))];
    const key = keys.map((column) => `(case tg_op when 'DELETE' then old.${column} else new.${column} end)`);
    await client.query(
      `create table ${schema}.${changed} as select ${keys.join(', ')} from ${schema}.${name} with no data;
       alter table ${schema}.${changed} add primary key (${keys.join(', ')});
       create function ${schema}.${changed}() returns trigger language plpgsql as
         $$begin insert into ${schema}.${changed} values (${key.join(', ')}) on conflict do nothing; return null; end$$;
       create trigger changed after insert or update or delete on ${schema}.${name}
         for each row execute function ${schema}.${changed}()`,
    );
  }
}

/** Undoes `noteChanges`. */
export async function ignoreChanges(client: ClientBase, projection: Projection): Promise<void> {
  const schema = pg.escapeIdentifier(shadowSchema(projection));
  for (const table of projection.tables) {
    const changed = pg.escapeIdentifier(changedOf(table));
    await client.query(
      `drop function if exists ${schema}.${changed}() cascade; drop table if exists ${schema}.${changed}`,
    );
  }
}

/** A part of a copy that is compared in one step: the rows that changed since `noteChanges`, or some of a partition's keys. */
type Part = 'changes' | { partition: number; slice: number; slices: number };

/** So much of a table and a partition is compared in one statement, which must not take as long as a time-out. */
export const SLICE_BYTES = 67_108_864;

/** The parts that make up a copy. */
export async function partsOf(
  client: ClientBase,
  { tables }: Projection,
  partitions: readonly number[],
  sliceBytes: number,
): Promise<Part[]> {
  const { rows } = await client.query<{ bytes: bigint }>(
    'select max(pg_relation_size(t)) as bytes from unnest($1::regclass[]) as t',
    [tables.map((table) => `public.${pg.escapeIdentifier(table)}`)],
  );
  const slices = Math.max(1, Math.ceil(Number(rows[0]?.bytes ?? 0n) / sliceBytes / Math.max(1, partitions.length)));
  return partitions.flatMap((partition) =>
    Array.from({ length: slices }, (_, slice) => ({ partition, slice, slices })),
  );
}

/** What both copies say of themselves, in the caller's transaction, part by part. */
export async function copyTotals(
  client: ClientBase,
  projection: Projection,
  parts: readonly Part[],
): Promise<{ live: ProjectionTotals; rebuilt: ProjectionTotals }> {
  const schema = pg.escapeIdentifier(shadowSchema(projection));
  const totals: { live: ProjectionTotals; rebuilt: ProjectionTotals } = {
    live: { sums: {}, quantiles: {} },
    rebuilt: { sums: {}, quantiles: {} },
  };
  if (parts.includes('changes'))
    for (const table of projection.tables)
      await client.query(`analyze ${schema}.${pg.escapeIdentifier(changedOf(table))}`);
  for (const part of parts)
    for (const [copy, from] of [
      ['live', 'public'],
      ['rebuilt', schema],
    ] as const) {
      const { sums, quantiles } = await partTotals(client, projection, from, part);
      for (const [name, sum] of Object.entries(sums)) totals[copy].sums[name] = (totals[copy].sums[name] ?? 0n) + sum;
      const where = part === 'changes' ? 'what has changed' : `partition ${part.partition}, ${part.slice}`;
      for (const [name, ms] of Object.entries(quantiles)) totals[copy].quantiles[`${name} of ${where}`] = ms;
    }
  return totals;
}

/** Has `totals` meet views of one part of a copy where it names the projection's tables. */
async function partTotals(
  client: ClientBase,
  projection: Projection,
  from: string,
  part: Part,
): Promise<ProjectionTotals> {
  const parts = pg.escapeIdentifier(`${shadowSchema(projection)}_part`);
  const shadow = pg.escapeIdentifier(shadowSchema(projection));
  await client.query(`create schema ${parts}`);
  for (const table of projection.tables) {
    const name = pg.escapeIdentifier(table);
    const keys = (await keysOf(client, table)).join(', ');
    let rows: string;
    if (part === 'changes')
      rows = `${shadow}.${pg.escapeIdentifier(changedOf(table))} join ${from}.${name} using (${keys})`;
    else {
      const { partition, slice, slices } = part;
      const isInSlice = slices === 1 ? '' : `and abs(hashtext(concat_ws(' ', ${keys}))::bigint) % ${slices} = ${slice}`;
      rows = `${from}.${name} where partition = ${partition} ${isInSlice}`;
    }
    await client.query(`create view ${parts}.${name} as select * from ${rows}`);
  }
  await client.query(`set local search_path = ${parts}, public`);
  const totals = await projection.totals(client as PoolClient);
  await onLive(client);
  await client.query(`drop schema ${parts} cascade`);
  return totals;
}

/** The columns of a table's primary key. */
async function keysOf(client: ClientBase, table: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select a.attname as name from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
      where i.indisprimary and i.indrelid = format('public.%I', $1::text)::regclass`,
    [table],
  );
  return rows.map(({ name }) => pg.escapeIdentifier(name));
}

const changedOf = (table: string) => `changed_${table}`;

/** How many of the transactions that hold something up are named. */
const BLOCKERS_MAX = 3;

/**
 * Names the other transactions that hold locks on the tables to be locked, or on the offsets; undefined when there are none.
 *
 * @param olderThanMs leaves out those that began later, and those of which that is hidden from this role.
 */
export async function blockers(
  client: ClientBase,
  tables: readonly string[],
  olderThanMs?: number,
): Promise<string | undefined> {
  const { rows } = await client.query<{
    pid: number | null;
    name: string | null;
    usename: string | null;
    state: string | null;
    age_s: number | null;
    tables: string[];
  }>(
    `select l.pid, a.application_name as name, a.usename::text, a.state,
            round(extract(epoch from clock_timestamp() - a.xact_start))::integer as age_s,
            array_agg(distinct l.relation::regclass::text) as tables
       from pg_locks l left join pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
        and l.database = (select oid from pg_database where datname = current_database())
        and (l.relation = any($1::regclass[]) or (l.relation = 'consumer_offsets'::regclass and l.mode <> 'AccessShareLock'))
        and ($2::integer is null or a.xact_start < clock_timestamp() - $2 * interval '1 millisecond')
      group by 1, 2, 3, 4, a.xact_start order by a.xact_start nulls last limit ${BLOCKERS_MAX}`,
    [tables.map((table) => `public.${pg.escapeIdentifier(table)}`), olderThanMs ?? null],
  );
  if (rows.length === 0) return undefined;
  const who = rows.map(({ pid, name, usename, state, age_s: ageS, tables }) => {
    if (pid === null) return `a prepared transaction, which holds ${tables.join(', ')}`;
    const since = ageS === null ? '' : ` for ${ageS} s`;
    const what = [name === '' ? null : name, usename === null ? null : `user ${usename}`, `${state ?? 'open'}${since}`];
    return `process ${pid} of PostgreSQL (${what.filter((part) => part !== null).join(', ')}), which holds ${tables.join(', ')}`;
  });
  return who.join('; ');
}

/** `like … including indexes` would give them other names, by which a later migration would not find them. */
async function copyTable(client: ClientBase, schema: string, table: string): Promise<void> {
  const name = pg.escapeIdentifier(table);
  await client.query(`create table ${schema}.${name} (like public.${name} including all excluding indexes)`);
  const { rows } = await client.query<{ name: string; definition: string; primary: boolean }>(
    `select c.relname as name, i.indisprimary as primary, pg_get_indexdef(i.indexrelid) as definition
       from pg_index i join pg_class c on c.oid = i.indexrelid
      where i.indrelid = format('public.%I', $1::text)::regclass`,
    [table],
  );
  for (const { name: index, definition, primary } of rows) {
    await client.query(
      definition
        .replace(` ON public.${name} `, ` ON ${schema}.${name} `)
        .replace(` ON public.${table} `, ` ON ${schema}.${name} `),
    );
    const constraint = pg.escapeIdentifier(index);
    if (primary)
      await client.query(
        `alter table ${schema}.${name} add constraint ${constraint} primary key using index ${constraint}`,
      );
  }
}

export async function dropShadow(client: ClientBase, projection: Pick<Projection, 'name'>): Promise<void> {
  await client.query(`drop schema if exists ${pg.escapeIdentifier(shadowSchema(projection))} cascade`);
}

/** Has the statements of this transaction meet the shadow copy where they name the projection's tables. */
export async function onShadow(client: ClientBase, projection: Projection): Promise<void> {
  await client.query(`set local search_path = ${pg.escapeIdentifier(shadowSchema(projection))}, public`);
}

/** Has them meet the live copy again. */
export async function onLive(client: ClientBase): Promise<void> {
  await client.query('set local search_path = public');
}

/** Where each partition of the shadow copy stands; undefined when there is none. */
export async function shadowOffsets(
  client: ClientBase,
  projection: Projection,
): Promise<Map<number, ShadowOffset> | undefined> {
  const schema = shadowSchema(projection);
  const found = await client.query('select 1 from pg_tables where schemaname = $1 and tablename = $2', [
    schema,
    'shadow_offsets',
  ]);
  if (found.rowCount === 0) return undefined;
  const { rows } = await client.query<{ partition: number; next_offset: bigint; mark: bigint }>(
    `select partition, next_offset, mark from ${pg.escapeIdentifier(schema)}.shadow_offsets`,
  );
  return new Map(rows.map(({ partition, next_offset: nextOffset, mark }) => [partition, { nextOffset, mark }]));
}

/** Stores where a partition of the shadow copy stands, and what was left out on the way, on the shadow's search path. */
export async function moveShadow(
  client: ClientBase,
  partition: number,
  { nextOffset, mark }: ShadowOffset,
  skipped: readonly bigint[],
): Promise<void> {
  await client.query(
    `with left_out as (insert into shadow_skipped select unnest($4::bigint[]) on conflict do nothing)
     insert into shadow_offsets (partition, next_offset, mark) values ($1, $2, $3)
     on conflict (partition) do update set next_offset = excluded.next_offset, mark = excluded.mark`,
    [partition, nextOffset, mark, skipped],
  );
}

/** Positions that the shadow copy left out though they have been redriven, and so counted, since. */
export async function redrivenSince(client: ClientBase, topic: string): Promise<number> {
  const { rowCount } = await client.query(
    `select 1 from shadow_skipped s
      where not exists (select 1 from parked p where p.topic = $1 and p.position = s.position
                           and p.settled_as is distinct from 'redriven')`,
    [topic],
  );
  return rowCount ?? 0;
}

/**
 * Puts the shadow copy in the place of the live one. Takes the lock that no query shares: a query takes its own before its
 * snapshot, so it sees the one copy or the other, whole.
 */
export async function swap(client: ClientBase, projection: Projection): Promise<void> {
  const schema = pg.escapeIdentifier(shadowSchema(projection));
  const tables = projection.tables.map((table) => pg.escapeIdentifier(table));
  await ignoreChanges(client, projection);
  await client.query(`lock table ${tables.map((table) => `public.${table}`).join(', ')} in access exclusive mode`);
  for (const table of tables) {
    await client.query(`drop table public.${table}`);
    await client.query(`alter table ${schema}.${table} set schema public`);
  }
  await dropShadow(client, projection);
}
