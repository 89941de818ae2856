import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { CancelOrderMessage, PlaceOrderMessage, type CommandReply } from '@tandem/contracts/order-commands';
import { ORDER_COMMANDS } from '@tandem/contracts/topology';
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
    @Payload({ schema: CancelOrderMessage }) message: CancelOrderMessage,
    @Ctx() context: RequestContext,
  ): Promise<CommandReply> {
    return this.handler.cancel(message, context);
  }
}
