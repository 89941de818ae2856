import pg, { type ClientBase } from 'pg';
import type { Projection } from '../projections/projection.ts';

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
  await client.query(`lock table ${tables.map((table) => `public.${table}`).join(', ')} in access exclusive mode`);
  for (const table of tables) {
    await client.query(`drop table public.${table}`);
    await client.query(`alter table ${schema}.${table} set schema public`);
  }
  await dropShadow(client, projection);
}
