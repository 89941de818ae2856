import { Controller, UseFilters } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import {
  type CustomersReply,
  type DurationsReply,
  type FunnelReply,
  GetDurations,
  GetFunnel,
  GetLag,
  GetRevenue,
  GetSummary,
  GetTop,
  type LagReply,
  type ProductsReply,
  type RevenueReply,
  type SummaryReply,
} from '@tandem/contracts/analytics-queries';
import { ANALYTICS_QUERIES } from '@tandem/contracts/topology';
import { DatabaseFailureFilter } from '@tandem/transports/rabbitmq/database-failure.filter';
import { RequestContext } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { AnalyticsQueries } from './analytics-queries.ts';

@Controller()
@UseFilters(new DatabaseFailureFilter('reads'))
export class AnalyticsQueriesController {
  constructor(private readonly queries: AnalyticsQueries) {}

  @MessagePattern(ANALYTICS_QUERIES.summary, Transport.RMQ)
  summary(@Payload({ schema: GetSummary }) query: GetSummary, @Ctx() context: RequestContext): Promise<SummaryReply> {
    return this.queries.summary(query, context.remainingMs(), context.release);
  }

  @MessagePattern(ANALYTICS_QUERIES.revenue, Transport.RMQ)
  revenue(@Payload({ schema: GetRevenue }) query: GetRevenue, @Ctx() context: RequestContext): Promise<RevenueReply> {
    return this.queries.revenue(query, context.remainingMs(), context.release);
  }

  @MessagePattern(ANALYTICS_QUERIES.funnel, Transport.RMQ)
  funnel(@Payload({ schema: GetFunnel }) query: GetFunnel, @Ctx() context: RequestContext): Promise<FunnelReply> {
    return this.queries.funnel(query, context.remainingMs(), context.release);
  }

  @MessagePattern(ANALYTICS_QUERIES.durations, Transport.RMQ)
  durations(
    @Payload({ schema: GetDurations }) query: GetDurations,
    @Ctx() context: RequestContext,
  ): Promise<DurationsReply> {
    return this.queries.durations(query, context.remainingMs(), context.release);
  }

  @MessagePattern(ANALYTICS_QUERIES.products, Transport.RMQ)
  products(@Payload({ schema: GetTop }) query: GetTop, @Ctx() context: RequestContext): Promise<ProductsReply> {
    return this.queries.products(query, context.remainingMs(), context.release);
  }

  @MessagePattern(ANALYTICS_QUERIES.customers, Transport.RMQ)
  customers(@Payload({ schema: GetTop }) query: GetTop, @Ctx() context: RequestContext): Promise<CustomersReply> {
    return this.queries.customers(query, context.remainingMs(), context.release);
  }

  @MessagePattern(ANALYTICS_QUERIES.lag, Transport.RMQ)
  lag(@Payload({ schema: GetLag }) query: GetLag, @Ctx() context: RequestContext): Promise<LagReply> {
    return this.queries.lag(query, context.remainingMs(), context.release);
  }
}
