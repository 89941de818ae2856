import { randomUUID } from 'node:crypto';
import type { ProjectionDifference, ProjectionStatus, Rebuild } from '@tandem/contracts/projections';
import type { ClientBase, Pool } from 'pg';
import type { Projection } from '../projections/projection.ts';
import { countedVersions } from '../projections/projection-versions.ts';

/** A rebuild that is asked for or under way. */
export interface OpenRebuild {
  id: string;
  projection: string;
  version: number;
  state: 'waiting' | 'reading';
  acceptDifferences: boolean;
}

/** Somebody has begun anew what this rebuild was about, or forgotten all that was counted: it must not go on. */
export class RebuildGoneError extends Error {
  override name = 'RebuildGoneError';
}

/** Asks for a rebuild, unless one is under way: that one is the answer then. */
export async function requestRebuild(pool: Pool, projection: Projection, acceptDifferences: boolean): Promise<void> {
  await pool.query(
    `insert into rebuilds as r (projection, id, version, state, accepts_differences) values ($1, $2, $3, 'waiting', $4)
     on conflict (projection) do update set
       id = excluded.id, version = excluded.version, state = 'waiting', accepts_differences = excluded.accepts_differences,
       requested_at = now(), started_at = null, finished_at = null, read = 0, total = 0, leg_at = null, leg_read = null,
       reason = null, differences = '[]'
     where r.state in ('swapped', 'failed', 'cancelled')`,
    [projection.name, randomUUID(), projection.version, acceptDifferences],
  );
}

/** The rebuild that was asked for first, of those that this version of the code can do. */
export async function nextRebuild(
  client: ClientBase,
  projections: readonly Projection[],
): Promise<OpenRebuild | undefined> {
  const { rows } = await client.query<Omit<OpenRebuild, 'acceptDifferences'> & { accepts_differences: boolean }>(
    `select r.id, r.projection, r.version, r.state, r.accepts_differences
       from rebuilds r join unnest($1::text[], $2::integer[]) as t(name, version) on t.name = r.projection
      where r.state in ('waiting', 'reading') and r.version <= t.version
      order by r.requested_at limit 1`,
    [projections.map(({ name }) => name), projections.map(({ version }) => version)],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  const { accepts_differences: acceptDifferences, ...rebuild } = row;
  return { ...rebuild, acceptDifferences };
}

/** Whether one is open that only a newer version of the code can do. */
export async function waitsForNewer(client: ClientBase, projections: readonly Projection[]): Promise<boolean> {
  const { rowCount } = await client.query(
    `select 1 from rebuilds r join unnest($1::text[], $2::integer[]) as t(name, version) on t.name = r.projection
      where r.state in ('waiting', 'reading') and r.version > t.version`,
    [projections.map(({ name }) => name), projections.map(({ version }) => version)],
  );
  return (rowCount ?? 0) > 0;
}

/** Calls a rebuild off, unless it has ended: its row is moved from under whoever reads. */
export async function cancelRebuild(pool: Pool, name: string): Promise<void> {
  await pool.query(
    `update rebuilds set state = 'cancelled', reason = null, finished_at = now()
      where projection = $1 and state in ('waiting', 'reading')`,
    [name],
  );
}

/** The projections whose rebuild was called off though it may have left a shadow copy. */
export async function cancelledRebuilds(client: ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ projection: string }>(
    `select projection from rebuilds
      where state = 'cancelled'
        and exists (select 1 from pg_namespace where nspname = 'rebuild_' || replace(projection, '-', '_'))`,
  );
  return rows.map(({ projection }) => projection);
}

/** Has a rebuild begin anew with an empty copy. */
export async function startOver(client: ClientBase, id: string): Promise<void> {
  await client.query(`update rebuilds set state = 'waiting' where id = $1 and state = 'reading'`, [id]);
}

/** Begins to read, or goes on after whoever read before. @throws RebuildGoneError */
export async function beginReading(client: ClientBase, id: string, version: number, read: bigint): Promise<void> {
  await update(
    client,
    `update rebuilds set state = 'reading', version = $2, read = $3, started_at = coalesce(started_at, now()), leg_at = now(),
            leg_read = $3
      where id = $1 and state in ('waiting', 'reading')`,
    [id, version, read],
  );
}

/**
 * Says how much has been read, in the transaction that did, and that only `reason`, if there is one, keeps it from its end.
 *
 * @throws RebuildGoneError
 */
export async function noteProgress(
  client: ClientBase,
  id: string,
  records: bigint,
  reason: string | null,
): Promise<void> {
  await update(client, `update rebuilds set read = read + $2, reason = $3 where id = $1 and state = 'reading'`, [
    id,
    records,
    reason,
  ]);
}

/** Says how much there is to read. @throws RebuildGoneError */
export async function noteTotal(client: ClientBase, id: string, total: bigint): Promise<void> {
  await update(client, `update rebuilds set total = $2 where id = $1 and state = 'reading'`, [id, total]);
}

/** Says what it waits for, if it is still wanted. */
export async function noteReason(client: ClientBase, id: string, reason: string): Promise<void> {
  await client.query(`update rebuilds set reason = $2 where id = $1 and state in ('waiting', 'reading')`, [id, reason]);
}

/** Ends a rebuild. @throws RebuildGoneError */
export async function finish(
  client: ClientBase,
  id: string,
  state: 'swapped' | 'failed',
  { reason = null, differences = [] }: { reason?: string | null; differences?: readonly ProjectionDifference[] },
): Promise<void> {
  await update(
    client,
    `update rebuilds set state = $2, reason = $3, differences = $4, finished_at = now()
      where id = $1 and state in ('waiting', 'reading')`,
    [id, state, reason, JSON.stringify(differences)],
  );
}

/** Every projection of the code with its latest rebuild. */
export async function projectionStatuses(pool: Pool, projections: readonly Projection[]): Promise<ProjectionStatus[]> {
  const versions = await countedVersions(pool);
  const { rows } = await pool.query<RebuildRow>({
    name: 'read-rebuilds',
    text: `select projection, id, version, state, accepts_differences, requested_at, finished_at, read, total, reason, differences,
                  case when state = 'reading' and read > leg_read
                       then (extract(epoch from now() - leg_at) * 1000 * greatest(total - read, 0) / (read - leg_read))::bigint
                  end as remaining_ms
             from rebuilds`,
  });
  const open = rows.filter(({ state }) => state === 'waiting' || state === 'reading');
  return projections.map(({ name, version: codeVersion }) => {
    const version = versions.get(name) ?? 0;
    const row = rows.find(({ projection }) => projection === name);
    const rebuild = row && rebuildOf({ ...row, reason: row.reason ?? whyItWaits(row, open, codeVersion) });
    return { name, version, codeVersion, stale: version !== codeVersion, ...(rebuild && { rebuild }) };
  });
}

/** What follows from the rebuilds themselves; whoever reads notes anything else. */
function whyItWaits(row: RebuildRow, open: readonly RebuildRow[], codeVersion: number): string | null {
  if (!open.includes(row)) return null;
  if (row.version > codeVersion)
    return (
      `It was asked for by version ${row.version} of the code and waits for an instance that has it; this one has ` +
      `${codeVersion}. If version ${row.version} was rolled back, cancel it (npm run rebuild -- ${row.projection} --cancel)`
    );
  const first = open.find(({ state, projection }) => state === 'reading' && projection !== row.projection);
  return row.state === 'waiting' && first !== undefined ? `The rebuild of ${first.projection} is under way` : null;
}

interface RebuildRow {
  projection: string;
  id: string;
  version: number;
  state: Rebuild['state'];
  accepts_differences: boolean;
  requested_at: Date;
  finished_at: Date | null;
  read: bigint;
  total: bigint;
  reason: string | null;
  differences: ProjectionDifference[];
  remaining_ms: bigint | null;
}

function rebuildOf(row: RebuildRow): Rebuild {
  const { id, version, state, accepts_differences: acceptDifferences, reason, differences } = row;
  return {
    id,
    version,
    state,
    acceptDifferences,
    requestedAt: row.requested_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
    read: Number(row.read),
    total: Number(row.total),
    remainingMs: row.remaining_ms === null ? null : Number(row.remaining_ms),
    reason,
    differences,
  };
}

async function update(client: ClientBase, text: string, values: unknown[]): Promise<void> {
  const { rowCount } = await client.query(text, values);
  if (rowCount !== 1) throw new RebuildGoneError('The rebuild was given up.');
}
