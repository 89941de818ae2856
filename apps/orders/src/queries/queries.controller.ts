import { Controller, UseFilters } from '@nestjs/common';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import {
  GetNewestPosition,
  GetOrder,
  ListOrderEvents,
  ListOrders,
  PaymentWanted,
  type GetNewestPositionReply,
  type GetOrderReply,
  type ListOrderEventsReply,
  type ListOrdersReply,
  type PaymentWantedReply,
} from '@tandem/contracts/order-queries';
import { ORDER_QUERIES } from '@tandem/contracts/topology';
import { DatabaseFailureFilter } from '@tandem/transports/rabbitmq/database-failure.filter';
import { OrderQueries } from './order-queries.ts';
import { WantedPayments } from './wanted-payments.ts';

@Controller()
@UseFilters(new DatabaseFailureFilter('reads'))
export class QueriesController {
  constructor(
    private readonly queries: OrderQueries,
    private readonly payments: WantedPayments,
  ) {}

  @MessagePattern(ORDER_QUERIES.get, Transport.RMQ)
  get(@Payload({ schema: GetOrder }) query: GetOrder): Promise<GetOrderReply> {
    return this.queries.get(query);
  }

  @MessagePattern(ORDER_QUERIES.list, Transport.RMQ)
  list(@Payload({ schema: ListOrders }) query: ListOrders): Promise<ListOrdersReply> {
    return this.queries.list(query);
  }

  @MessagePattern(ORDER_QUERIES.events, Transport.RMQ)
  events(@Payload({ schema: ListOrderEvents }) query: ListOrderEvents): Promise<ListOrderEventsReply> {
    return this.queries.events(query);
  }

  @MessagePattern(ORDER_QUERIES.newestPosition, Transport.RMQ)
  newestPosition(@Payload({ schema: GetNewestPosition }) _query: GetNewestPosition): Promise<GetNewestPositionReply> {
    return this.queries.newestPosition();
  }

  @MessagePattern(ORDER_QUERIES.paymentWanted, Transport.RMQ)
  paymentWanted(@Payload({ schema: PaymentWanted }) query: PaymentWanted): Promise<PaymentWantedReply> {
    return this.payments.wanted(query);
  }
}
