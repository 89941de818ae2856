import { LeaveGroupError } from '@tandem/transports/kafka/leave-group-error';
import type { ClientBase, Pool } from 'pg';
import type { Projection } from './projection.ts';

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

/** Newer code has counted what this code would count on with: it leaves that to the instances that have it. */
export class OutdatedError extends LeaveGroupError {
  override name = 'OutdatedError';
}

/** Why this code must not count: what a newer version has rebuilt would be spoilt. */
export async function outdated(db: Pool | ClientBase, projections: readonly Projection[]): Promise<string | undefined> {
  const counted = await countedVersions(db);
  const newer = projections.filter(({ name, version }) => (counted.get(name) ?? 0) > version);
  if (newer.length === 0) return undefined;
  const which = newer.map(({ name, version }) => `${name} by version ${counted.get(name)}, not ${version}`).join(', ');
  return (
    `a newer version has counted ${which}: this instance leaves counting to those that have it. To go back to the older ` +
    `version, rebuild: ${newer.map(({ name }) => `npm run rebuild -- ${name}`).join(', ')}`
  );
}

/** In a transaction that holds the lock of a partition, which no swap passes. @throws OutdatedError */
export async function refuseOutdated(client: ClientBase, projections: readonly Projection[]): Promise<void> {
  const reason = await outdated(client, projections);
  if (reason !== undefined) throw new OutdatedError(reason);
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
