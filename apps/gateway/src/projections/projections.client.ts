import { Injectable } from '@nestjs/common';
import type {
  CancelRebuild,
  CancelRebuildReply,
  ProjectionList,
  RebuildProjectionSent,
  RebuildReply,
} from '@tandem/contracts/projections';
import { PROJECTION_QUERIES } from '@tandem/contracts/topology';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ask } from '../ask.ts';
import type { Trace } from '../trace.ts';

/** The projections of analytics, over RabbitMQ. To ask for a rebuild again changes nothing while one is under way. */
@Injectable()
export class ProjectionsClient {
  constructor(private readonly queries: RabbitMqClient) {}

  list(trace: Trace): Promise<ProjectionList> {
    return ask(this.queries, PROJECTION_QUERIES.list, {}, trace);
  }

  rebuild(request: RebuildProjectionSent, trace: Trace): Promise<RebuildReply> {
    return ask(this.queries, PROJECTION_QUERIES.rebuild, request, trace);
  }

  /** A rebuild that has ended, or never began, stays as it is. */
  cancelRebuild(request: CancelRebuild, trace: Trace): Promise<CancelRebuildReply> {
    return ask(this.queries, PROJECTION_QUERIES.cancelRebuild, request, trace);
  }
}
