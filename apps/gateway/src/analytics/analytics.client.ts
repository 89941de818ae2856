import { Injectable } from '@nestjs/common';
import type {
  CustomersReply,
  DurationsReply,
  FunnelReply,
  GetDurations,
  GetFunnel,
  GetLag,
  GetRevenue,
  GetSummary,
  GetTop,
  LagReply,
  ProductsReply,
  RevenueReply,
  SummaryReply,
} from '@tandem/contracts/analytics-queries';
import { ANALYTICS_QUERIES } from '@tandem/contracts/topology';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ask } from '../ask.ts';

type Asked<Q> = Omit<Q, 'waitMsMax'>;

/** The analytics service, over RabbitMQ. */
@Injectable()
export class AnalyticsClient {
  constructor(
    private readonly queries: RabbitMqClient,
    /** How long a query with `after` may wait for the count, in milliseconds. */
    private readonly waitMsMax: number,
  ) {}

  summary(query: Asked<GetSummary>, traceparent: string): Promise<SummaryReply> {
    return this.#ask(ANALYTICS_QUERIES.summary, query, traceparent);
  }

  revenue(query: Asked<GetRevenue>, traceparent: string): Promise<RevenueReply> {
    return this.#ask(ANALYTICS_QUERIES.revenue, query, traceparent);
  }

  funnel(query: Asked<GetFunnel>, traceparent: string): Promise<FunnelReply> {
    return this.#ask(ANALYTICS_QUERIES.funnel, query, traceparent);
  }

  durations(query: Asked<GetDurations>, traceparent: string): Promise<DurationsReply> {
    return this.#ask(ANALYTICS_QUERIES.durations, query, traceparent);
  }

  products(query: Asked<GetTop>, traceparent: string): Promise<ProductsReply> {
    return this.#ask(ANALYTICS_QUERIES.products, query, traceparent);
  }

  customers(query: Asked<GetTop>, traceparent: string): Promise<CustomersReply> {
    return this.#ask(ANALYTICS_QUERIES.customers, query, traceparent);
  }

  lag(query: Asked<GetLag>, traceparent: string): Promise<LagReply> {
    return this.#ask(ANALYTICS_QUERIES.lag, query, traceparent);
  }

  #ask<T>(pattern: string, query: { after?: number | undefined }, traceparent: string): Promise<T> {
    return ask(
      this.queries,
      pattern,
      { ...query, waitMsMax: query.after === undefined ? 0 : this.waitMsMax },
      traceparent,
    );
  }
}
