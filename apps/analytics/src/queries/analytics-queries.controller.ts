import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { GetRevenue, GetSummary, type RevenueReply, type SummaryReply } from '@tandem/contracts/analytics-queries';
import { ANALYTICS_QUERIES } from '@tandem/contracts/topology';
import { RequestContext } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { AnalyticsQueries } from './analytics-queries.ts';

@Controller()
export class AnalyticsQueriesController {
  constructor(private readonly queries: AnalyticsQueries) {}

  @MessagePattern(ANALYTICS_QUERIES.summary, Transport.RMQ)
  summary(@Payload({ schema: GetSummary }) query: GetSummary, @Ctx() context: RequestContext): Promise<SummaryReply> {
    return this.queries.summary(query, context.remainingMs());
  }

  @MessagePattern(ANALYTICS_QUERIES.revenue, Transport.RMQ)
  revenue(@Payload({ schema: GetRevenue }) query: GetRevenue, @Ctx() context: RequestContext): Promise<RevenueReply> {
    return this.queries.revenue(query, context.remainingMs());
  }
}
