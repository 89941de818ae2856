import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import {
  ListProjections,
  ProjectionName,
  RebuildOptions,
  type ProjectionList,
  type ProjectionStatus,
} from '@tandem/contracts/projections';
import type { FastifyRequest } from 'fastify';
import { ProblemError } from '../problem.ts';
import { traceOf } from '../trace.ts';
import { ProjectionsClient } from './projections.client.ts';
import {
  DocumentCancelRebuild,
  DocumentListProjections,
  DocumentRebuild,
  projectionNotFound,
} from './projections.docs.ts';

@Controller('v1/admin/projections')
export class ProjectionsController {
  constructor(private readonly projections: ProjectionsClient) {}

  @Get()
  @DocumentListProjections()
  list(
    @Query({ schema: ListProjections }) _query: ListProjections,
    @Req() request: FastifyRequest,
  ): Promise<ProjectionList> {
    return this.projections.list(traceOf(request));
  }

  @Post(':name/rebuild')
  @HttpCode(202)
  @DocumentRebuild()
  async rebuild(
    @Param('name', { schema: ProjectionName }) name: string,
    @Body({ schema: RebuildOptions }) options: RebuildOptions,
    @Req() request: FastifyRequest,
  ): Promise<ProjectionStatus> {
    const reply = await this.projections.rebuild({ name, ...options }, traceOf(request));
    if (reply.outcome === 'not_found') throw projectionNotFound(name);
    if (reply.outcome === 'truncated') throw new ProblemError('log_truncated', reply.detail);
    return reply.projection;
  }

  @Post(':name/rebuild/cancel')
  @HttpCode(200)
  @DocumentCancelRebuild()
  async cancelRebuild(
    @Param('name', { schema: ProjectionName }) name: string,
    @Req() request: FastifyRequest,
  ): Promise<ProjectionStatus> {
    const reply = await this.projections.cancelRebuild({ name }, traceOf(request));
    if (reply.outcome === 'not_found') throw projectionNotFound(name);
    return reply.projection;
  }
}
