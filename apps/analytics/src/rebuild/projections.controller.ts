import { Controller, UseFilters } from '@nestjs/common';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import {
  CancelRebuild,
  ListProjections,
  RebuildProjection,
  type CancelRebuildReply,
  type ProjectionList,
  type RebuildReply,
} from '@tandem/contracts/projections';
import { PROJECTION_QUERIES } from '@tandem/contracts/topology';
import { DatabaseFailureFilter } from '@tandem/transports/rabbitmq/database-failure.filter';
import { ProjectionAdministration } from './projection-administration.ts';

@Controller()
@UseFilters(new DatabaseFailureFilter('reads'))
export class ProjectionsController {
  constructor(private readonly projections: ProjectionAdministration) {}

  @MessagePattern(PROJECTION_QUERIES.list, Transport.RMQ)
  list(@Payload({ schema: ListProjections }) _query: ListProjections): Promise<ProjectionList> {
    return this.projections.list();
  }

  @MessagePattern(PROJECTION_QUERIES.rebuild, Transport.RMQ)
  @UseFilters(new DatabaseFailureFilter('changes'))
  rebuild(@Payload({ schema: RebuildProjection }) request: RebuildProjection): Promise<RebuildReply> {
    return this.projections.rebuild(request);
  }

  @MessagePattern(PROJECTION_QUERIES.cancelRebuild, Transport.RMQ)
  @UseFilters(new DatabaseFailureFilter('changes'))
  cancelRebuild(@Payload({ schema: CancelRebuild }) request: CancelRebuild): Promise<CancelRebuildReply> {
    return this.projections.cancel(request);
  }
}
