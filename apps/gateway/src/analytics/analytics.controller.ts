import { Controller, Get, Query, Req } from '@nestjs/common';
import type { Revenue, Summary } from '@tandem/contracts/analytics-queries';
import type { FastifyRequest } from 'fastify';
import { ProblemError, retryAfter } from '../problem.ts';
import { traceOf } from '../trace.ts';
import { AnalyticsClient } from './analytics.client.ts';
import { DocumentRevenue, DocumentSummary } from './analytics.docs.ts';
import { minutesOf, RevenueParameters, SummaryParameters } from './analytics-parameters.ts';

@Controller('v1/analytics')
export class AnalyticsController {
  constructor(private readonly analytics: AnalyticsClient) {}

  @Get('summary')
  @DocumentSummary()
  async summary(
    @Query({ schema: SummaryParameters }) parameters: SummaryParameters,
    @Req() request: FastifyRequest,
  ): Promise<Summary> {
    const reply = await this.analytics.summary(parameters, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.summary;
  }

  @Get('revenue')
  @DocumentRevenue()
  async revenue(
    @Query({ schema: RevenueParameters }) parameters: RevenueParameters,
    @Req() request: FastifyRequest,
  ): Promise<Revenue> {
    const query = { ...parameters, ...minutesOf(parameters, Date.now()) };
    const reply = await this.analytics.revenue(query, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.revenue;
  }
}

type NotCounted = { outcome: 'behind'; position: number } | { outcome: 'too_large'; detail: string };

function notCounted(reply: NotCounted): ProblemError {
  if (reply.outcome === 'too_large') return new ProblemError('sum_too_large', reply.detail);
  return new ProblemError('not_counted_yet', `Counted up to position ${reply.position} so far`, {
    members: { position: reply.position },
    headers: retryAfter(1_000),
  });
}
