import type {
  CancelRebuild,
  CancelRebuildReply,
  ProjectionList,
  ProjectionStatus,
  RebuildProjection,
  RebuildReply,
} from '@tandem/contracts/projections';
import type { Pool } from 'pg';
import type { Projection } from '../projections/projection.ts';
import type { LogBounds } from './log-bounds.ts';
import { cancelRebuild, projectionStatuses, requestRebuild } from './rebuilds.ts';

/** Says what is counted by which version, and takes requests for rebuilds, which whoever leads carries out. */
export class ProjectionAdministration {
  readonly #pool: Pool;
  readonly #projections: readonly Projection[];
  readonly #bounds: LogBounds;

  constructor(pool: Pool, projections: readonly Projection[], bounds: LogBounds) {
    this.#pool = pool;
    this.#projections = projections;
    this.#bounds = bounds;
  }

  async list(): Promise<ProjectionList> {
    return { data: await projectionStatuses(this.#pool, this.#projections) };
  }

  async rebuild({ name, acceptDifferences }: RebuildProjection): Promise<RebuildReply> {
    const projection = this.#projections.find((one) => one.name === name);
    if (projection === undefined) return { outcome: 'not_found' };
    // A Kafka that is away is waited for, and looked at again then.
    const detail = await this.#bounds.truncated().catch(() => undefined);
    if (detail !== undefined) return { outcome: 'truncated', detail };
    await requestRebuild(this.#pool, projection, acceptDifferences);
    return this.#accepted(name);
  }

  async cancel({ name }: CancelRebuild): Promise<CancelRebuildReply> {
    if (!this.#projections.some((one) => one.name === name)) return { outcome: 'not_found' };
    await cancelRebuild(this.#pool, name);
    return this.#accepted(name);
  }

  async #accepted(name: string): Promise<Extract<RebuildReply, { outcome: 'accepted' }>> {
    const statuses = await projectionStatuses(this.#pool, this.#projections);
    return { outcome: 'accepted', projection: statuses.find((one) => one.name === name) as ProjectionStatus };
  }
}
