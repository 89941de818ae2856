import { Controller, UseFilters } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import {
  PlaceOrderMessage,
  CancelOrderMessage,
  ShipOrderMessage,
  ConfirmDeliveryMessage,
  RefundOrderMessage,
  CloseRefundMessage,
  RecordPaymentMessage,
  RecordDeclineMessage,
  RecordRefundMessage,
  RecordRefundDeclineMessage,
  FindOutcome,
  type CommandReply,
  type FindOutcomeReply,
} from '@tandem/contracts/order-commands';
import { ORDER_COMMANDS, ORDER_QUERIES } from '@tandem/contracts/topology';
import { DatabaseFailureFilter } from '@tandem/transports/rabbitmq/database-failure.filter';
import { RequestContext } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { CommandHandler } from './command-handler.ts';

@Controller()
export class OrderController {
  constructor(private readonly handler: CommandHandler) {}

  @MessagePattern(ORDER_COMMANDS.place, Transport.RMQ)
  place(
    @Payload({ schema: PlaceOrderMessage }) message: PlaceOrderMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.place(message, context);
  }

  @MessagePattern(ORDER_COMMANDS.cancel, Transport.RMQ)
  cancel(
    @Payload({ schema: CancelOrderMessage }) { commandId, ...asked }: CancelOrderMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'CancelOrder', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.ship, Transport.RMQ)
  ship(
    @Payload({ schema: ShipOrderMessage }) { commandId, ...asked }: ShipOrderMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'ShipOrder', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.deliver, Transport.RMQ)
  deliver(
    @Payload({ schema: ConfirmDeliveryMessage }) { commandId, ...asked }: ConfirmDeliveryMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'ConfirmDelivery', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.refund, Transport.RMQ)
  refund(
    @Payload({ schema: RefundOrderMessage }) { commandId, ...asked }: RefundOrderMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'RefundOrder', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.closeRefund, Transport.RMQ)
  closeRefund(
    @Payload({ schema: CloseRefundMessage }) { commandId, ...asked }: CloseRefundMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'CloseRefund', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.recordPayment, Transport.RMQ)
  recordPayment(
    @Payload({ schema: RecordPaymentMessage }) { commandId, ...asked }: RecordPaymentMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'RecordPayment', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.recordDecline, Transport.RMQ)
  recordDecline(
    @Payload({ schema: RecordDeclineMessage }) { commandId, ...asked }: RecordDeclineMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'RecordDecline', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.recordRefund, Transport.RMQ)
  recordRefund(
    @Payload({ schema: RecordRefundMessage }) { commandId, ...asked }: RecordRefundMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'RecordRefund', ...asked }, context);
  }

  @MessagePattern(ORDER_COMMANDS.recordRefundDecline, Transport.RMQ)
  recordRefundDecline(
    @Payload({ schema: RecordRefundDeclineMessage }) { commandId, ...asked }: RecordRefundDeclineMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.address(commandId, { type: 'RecordRefundDecline', ...asked }, context);
  }

  @MessagePattern(ORDER_QUERIES.outcome, Transport.RMQ)
  @UseFilters(new DatabaseFailureFilter('reads'))
  async outcome(@Payload({ schema: FindOutcome }) asked: FindOutcome): Promise<FindOutcomeReply> {
    return { reply: (await this.handler.find(asked)) ?? null };
  }
}
