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

/** The projections of analytics, over RabbitMQ. To ask for a rebuild again changes nothing while one is under way. */
@Injectable()
export class ProjectionsClient {
  constructor(private readonly queries: RabbitMqClient) {}

  list(traceparent: string): Promise<ProjectionList> {
    return ask(this.queries, PROJECTION_QUERIES.list, {}, traceparent);
  }

  rebuild(request: RebuildProjectionSent, traceparent: string): Promise<RebuildReply> {
    return ask(this.queries, PROJECTION_QUERIES.rebuild, request, traceparent);
  }

  /** A rebuild that has ended, or never began, stays as it is. */
  cancelRebuild(request: CancelRebuild, traceparent: string): Promise<CancelRebuildReply> {
    return ask(this.queries, PROJECTION_QUERIES.cancelRebuild, request, traceparent);
  }
}
