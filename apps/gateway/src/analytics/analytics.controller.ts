import { Controller, Get, Query, Req } from '@nestjs/common';
import type {
  Durations,
  Funnel,
  Lag,
  Revenue,
  Summary,
  TopCustomers,
  TopProducts,
} from '@tandem/contracts/analytics-queries';
import type { FastifyRequest } from 'fastify';
import { ProblemError, retryAfter } from '../problem.ts';
import { traceOf } from '../trace.ts';
import { AnalyticsClient } from './analytics.client.ts';
import {
  DocumentCustomers,
  DocumentDurations,
  DocumentFunnel,
  DocumentLag,
  DocumentProducts,
  DocumentRevenue,
  DocumentSummary,
} from './analytics.docs.ts';
import {
  DURATIONS_RANGE,
  FUNNEL_RANGE,
  HoursParameters,
  LagParameters,
  rangeIn,
  REVENUE_RANGE,
  RevenueParameters,
  SummaryParameters,
  TOP_RANGE,
  TopParameters,
} from './analytics-parameters.ts';

@Controller('v1/analytics')
export class AnalyticsController {
  constructor(private readonly analytics: AnalyticsClient) {}

  @Get('summary')
  @DocumentSummary()
  async summary(
    @Query({ schema: SummaryParameters }) parameters: SummaryParameters,
    @Req() request: FastifyRequest,
  ): Promise<Summary> {
    const { from, to } = parameters;
    const range = from === undefined && to === undefined ? {} : rangeIn(FUNNEL_RANGE, parameters, Date.now());
    const reply = await this.analytics.summary({ ...parameters, ...range }, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.summary;
  }

  @Get('revenue')
  @DocumentRevenue()
  async revenue(
    @Query({ schema: RevenueParameters }) parameters: RevenueParameters,
    @Req() request: FastifyRequest,
  ): Promise<Revenue> {
    const range = rangeIn(REVENUE_RANGE[parameters.bucket], parameters, Date.now());
    const reply = await this.analytics.revenue({ ...parameters, ...range }, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.revenue;
  }

  @Get('funnel')
  @DocumentFunnel()
  async funnel(
    @Query({ schema: HoursParameters }) parameters: HoursParameters,
    @Req() request: FastifyRequest,
  ): Promise<Funnel> {
    const range = rangeIn(FUNNEL_RANGE, parameters, Date.now());
    const reply = await this.analytics.funnel({ ...parameters, ...range }, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.funnel;
  }

  @Get('durations')
  @DocumentDurations()
  async durations(
    @Query({ schema: HoursParameters }) parameters: HoursParameters,
    @Req() request: FastifyRequest,
  ): Promise<Durations> {
    const range = rangeIn(DURATIONS_RANGE, parameters, Date.now());
    const reply = await this.analytics.durations({ ...parameters, ...range }, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.durations;
  }

  @Get('products')
  @DocumentProducts()
  async products(
    @Query({ schema: TopParameters }) parameters: TopParameters,
    @Req() request: FastifyRequest,
  ): Promise<TopProducts> {
    const range = rangeIn(TOP_RANGE, parameters, Date.now());
    const reply = await this.analytics.products({ ...parameters, ...range }, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.products;
  }

  @Get('customers')
  @DocumentCustomers()
  async customers(
    @Query({ schema: TopParameters }) parameters: TopParameters,
    @Req() request: FastifyRequest,
  ): Promise<TopCustomers> {
    const range = rangeIn(TOP_RANGE, parameters, Date.now());
    const reply = await this.analytics.customers({ ...parameters, ...range }, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.customers;
  }

  @Get('lag')
  @DocumentLag()
  async lag(@Query({ schema: LagParameters }) parameters: LagParameters, @Req() request: FastifyRequest): Promise<Lag> {
    const reply = await this.analytics.lag(parameters, traceOf(request));
    if (reply.outcome !== 'counted') throw notCounted(reply);
    return reply.lag;
  }
}

type NotCounted =
  | { outcome: 'behind'; position: number }
  | { outcome: 'too_large'; detail: string }
  | { outcome: 'log_away'; detail: string };

function notCounted(reply: NotCounted): ProblemError {
  switch (reply.outcome) {
    case 'too_large':
      return new ProblemError('answer_too_large', reply.detail);
    case 'log_away':
      return new ProblemError('unavailable', reply.detail, { headers: retryAfter(1_000) });
    case 'behind':
      return new ProblemError('not_counted_yet', `Counted up to position ${reply.position} so far`, {
        members: { position: reply.position },
        headers: retryAfter(1_000),
      });
  }
}
