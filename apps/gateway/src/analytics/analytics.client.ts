import { Injectable } from '@nestjs/common';
import type { GetRevenue, GetSummary, RevenueReply, SummaryReply } from '@tandem/contracts/analytics-queries';
import { ANALYTICS_QUERIES } from '@tandem/contracts/topology';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ask } from '../ask.ts';

/** The analytics service, over RabbitMQ. */
@Injectable()
export class AnalyticsClient {
  constructor(
    private readonly queries: RabbitMqClient,
    /** How long a query with `after` may wait for the count, in milliseconds. */
    private readonly waitMsMax: number,
  ) {}

  summary(query: Omit<GetSummary, 'waitMsMax'>, traceparent: string): Promise<SummaryReply> {
    return ask(this.queries, ANALYTICS_QUERIES.summary, this.#waiting(query), traceparent);
  }

  revenue(query: Omit<GetRevenue, 'waitMsMax'>, traceparent: string): Promise<RevenueReply> {
    return ask(this.queries, ANALYTICS_QUERIES.revenue, this.#waiting(query), traceparent);
  }

  #waiting<T extends { after?: number | undefined }>(query: T): T & { waitMsMax: number } {
    return { ...query, waitMsMax: query.after === undefined ? 0 : this.waitMsMax };
  }
}
