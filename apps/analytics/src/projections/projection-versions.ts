import type { ClientBase, Pool } from 'pg';
import type { Projection } from '../projections/projection.ts';

/**
 * Notes the version of each projection that is not known yet: that of the code while nothing was counted, else 0, because
 * what it missed can only come from a rebuild.
 */
export async function registerProjections(db: Pool | ClientBase, projections: readonly Projection[]): Promise<void> {
  await db.query(
    `insert into projections (name, version)
     select t.name, case when exists (select 1 from consumer_offsets where mark > 0) then 0 else t.version end
       from unnest($1::text[], $2::integer[]) as t(name, version)
     on conflict do nothing`,
    [projections.map(({ name }) => name), projections.map(({ version }) => version)],
  );
}

/** By name, the version of the code that counted each projection. */
export async function countedVersions(db: Pool | ClientBase): Promise<Map<string, number>> {
  const { rows } = await db.query<{ name: string; version: number }>({
    name: 'counted-versions',
    text: 'select name, version from projections',
  });
  return new Map(rows.map(({ name, version }) => [name, version]));
}

/** Why projections are stale, for readiness. */
export async function staleProjections(db: Pool, projections: readonly Projection[]): Promise<string[]> {
  const counted = await countedVersions(db);
  return projections.flatMap(({ name, version }) => {
    const was = counted.get(name) ?? 0;
    if (was === version) return [];
    const how = was === 0 ? 'begins in the middle of the log' : `was counted by version ${was}, not ${version}`;
    return [`${name} ${how}: rebuild it (npm run rebuild -- ${name})`];
  });
}
