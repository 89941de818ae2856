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
import type { OrdersClient } from '../orders/orders.client.ts';
import { invalidRequest } from '../problem.ts';
import type { Trace } from '../trace.ts';

type Asked<Q> = Omit<Q, 'waitMsMax'>;

/** The analytics service, over RabbitMQ. */
@Injectable()
export class AnalyticsClient {
  /** The newest position that orders has told. */
  #newest = 0;

  constructor(
    private readonly queries: RabbitMqClient,
    private readonly orders: OrdersClient,
    /** How long a query with `after` may wait for the count, in milliseconds. */
    private readonly waitMsMax: number,
  ) {}

  summary(query: Asked<GetSummary>, trace: Trace): Promise<SummaryReply> {
    return this.#ask(ANALYTICS_QUERIES.summary, query, trace);
  }

  revenue(query: Asked<GetRevenue>, trace: Trace): Promise<RevenueReply> {
    return this.#ask(ANALYTICS_QUERIES.revenue, query, trace);
  }

  funnel(query: Asked<GetFunnel>, trace: Trace): Promise<FunnelReply> {
    return this.#ask(ANALYTICS_QUERIES.funnel, query, trace);
  }

  durations(query: Asked<GetDurations>, trace: Trace): Promise<DurationsReply> {
    return this.#ask(ANALYTICS_QUERIES.durations, query, trace);
  }

  products(query: Asked<GetTop>, trace: Trace): Promise<ProductsReply> {
    return this.#ask(ANALYTICS_QUERIES.products, query, trace);
  }

  customers(query: Asked<GetTop>, trace: Trace): Promise<CustomersReply> {
    return this.#ask(ANALYTICS_QUERIES.customers, query, trace);
  }

  lag(query: Asked<GetLag>, trace: Trace): Promise<LagReply> {
    return this.#ask(ANALYTICS_QUERIES.lag, query, trace);
  }

  async #ask<T>(pattern: string, query: { after?: number | undefined }, trace: Trace): Promise<T> {
    const { after } = query;
    if (after !== undefined && after > this.#newest) await this.#expectToExist(after, trace);
    return ask(this.queries, pattern, { ...query, waitMsMax: after === undefined ? 0 : this.waitMsMax }, trace);
  }

  /**
   * A position that no event has is not waited for. Orders tells the newest; without its answer the query waits as for any other.
   *
   * @throws ProblemError 400 naming the newest.
   */
  async #expectToExist(after: number, trace: Trace): Promise<void> {
    const reply = await this.orders.newestPosition(trace).catch(() => undefined);
    if (typeof reply?.position !== 'number') return;
    this.#newest = Math.max(this.#newest, reply.position);
    if (after > reply.position)
      throw invalidRequest([
        { parameter: 'after', detail: `is a position that no event has yet: the newest is ${reply.position}` },
      ]);
  }
}
