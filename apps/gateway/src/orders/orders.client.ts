import { Injectable } from '@nestjs/common';
import type {
  CancelOrderMessage,
  CloseRefundMessage,
  CommandReply,
  ConfirmDeliveryMessage,
  PlaceOrderSent,
  RefundOrderMessage,
  ShipOrderMessage,
} from '@tandem/contracts/order-commands';
import type {
  GetOrder,
  GetOrderReply,
  ListOrderEvents,
  ListOrderEventsReply,
  ListOrders,
  ListOrdersReply,
} from '@tandem/contracts/order-queries';
import { ORDER_COMMANDS, ORDER_QUERIES } from '@tandem/contracts/topology';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ask } from '../ask.ts';
import { command, type Sending } from '../command.ts';

/** The orders service, over RabbitMQ. Queries have a queue of their own, so that they never wait behind commands. */
@Injectable()
export class OrdersClient {
  constructor(
    private readonly commands: RabbitMqClient,
    private readonly queries: RabbitMqClient,
  ) {}

  /** Whether as many commands wait for their answer as may. */
  get full(): boolean {
    return this.commands.full;
  }

  place(message: { commandId: string; body: PlaceOrderSent }, sending: Sending): Promise<CommandReply> {
    return command(this.commands, ORDER_COMMANDS.place, message, sending);
  }

  cancel(message: CancelOrderMessage, sending: Sending): Promise<CommandReply> {
    return command(this.commands, ORDER_COMMANDS.cancel, message, sending);
  }

  ship(message: ShipOrderMessage, sending: Sending): Promise<CommandReply> {
    return command(this.commands, ORDER_COMMANDS.ship, message, sending);
  }

  deliver(message: ConfirmDeliveryMessage, sending: Sending): Promise<CommandReply> {
    return command(this.commands, ORDER_COMMANDS.deliver, message, sending);
  }

  refund(message: RefundOrderMessage, sending: Sending): Promise<CommandReply> {
    return command(this.commands, ORDER_COMMANDS.refund, message, sending);
  }

  closeRefund(message: CloseRefundMessage, sending: Sending): Promise<CommandReply> {
    return command(this.commands, ORDER_COMMANDS.closeRefund, message, sending);
  }

  get(query: GetOrder, traceparent: string): Promise<GetOrderReply> {
    return ask(this.queries, ORDER_QUERIES.get, query, traceparent);
  }

  list(query: ListOrders, traceparent: string): Promise<ListOrdersReply> {
    return ask(this.queries, ORDER_QUERIES.list, query, traceparent);
  }

  events(query: ListOrderEvents, traceparent: string): Promise<ListOrderEventsReply> {
    return ask(this.queries, ORDER_QUERIES.events, query, traceparent);
  }
}
