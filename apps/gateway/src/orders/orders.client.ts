import { Injectable } from '@nestjs/common';
import type {
  CancelOrderMessage,
  CloseRefundMessage,
  CommandReply,
  ConfirmDeliveryMessage,
  FindOutcomeReply,
  PlaceOrderSent,
  RefundOrderMessage,
  ShipOrderMessage,
} from '@tandem/contracts/order-commands';
import type {
  GetOrder,
  GetNewestPositionReply,
  GetOrderReply,
  ListOrderEvents,
  ListOrderEventsReply,
  ListOrders,
  ListOrdersReply,
} from '@tandem/contracts/order-queries';
import { ORDER_COMMANDS, ORDER_QUERIES } from '@tandem/contracts/topology';
import { NotTakenError } from '@tandem/transports/rabbitmq/errors';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ask } from '../ask.ts';
import { command, type Sending } from '../command.ts';
import type { Trace } from '../trace.ts';

/** The orders service, over RabbitMQ. Queries have a queue of their own, so that they never wait behind commands. */
@Injectable()
export class OrdersClient {
  constructor(
    private readonly commands: RabbitMqClient,
    private readonly queries: RabbitMqClient,
    /** For what was answered before; with few slots, because most of what comes past a limit is new. */
    private readonly lookUps: RabbitMqClient,
  ) {}

  /** Whether the next command would be refused: as many wait for their answer as may, and it cannot be a repeat. */
  isFull(mayRepeat: boolean): boolean {
    return this.commands.full && !(mayRepeat && !this.lookUps.full);
  }

  /**
   * The answer of a command that was given before, while no new one is taken.
   *
   * @throws `refusal` when there was none, or it cannot be looked up.
   */
  async repeat(pattern: OrderCommandPattern, message: object, sending: Sending, refusal: Error): Promise<CommandReply> {
    if (!sending.mayRepeat) throw refusal;
    const asked = { pattern, message };
    const found = await this.lookUps
      .request<FindOutcomeReply>(ORDER_QUERIES.outcome, asked, { ...sending.trace, deadlineMs: LOOK_UP_DEADLINE_MS })
      .catch(() => {
        throw refusal;
      });
    if (found.reply === null) throw refusal;
    return found.reply;
  }

  place(message: { commandId: string; body: PlaceOrderSent }, sending: Sending): Promise<CommandReply> {
    return this.#command(ORDER_COMMANDS.place, message, sending);
  }

  cancel(message: CancelOrderMessage, sending: Sending): Promise<CommandReply> {
    return this.#command(ORDER_COMMANDS.cancel, message, sending);
  }

  ship(message: ShipOrderMessage, sending: Sending): Promise<CommandReply> {
    return this.#command(ORDER_COMMANDS.ship, message, sending);
  }

  deliver(message: ConfirmDeliveryMessage, sending: Sending): Promise<CommandReply> {
    return this.#command(ORDER_COMMANDS.deliver, message, sending);
  }

  refund(message: RefundOrderMessage, sending: Sending): Promise<CommandReply> {
    return this.#command(ORDER_COMMANDS.refund, message, sending);
  }

  closeRefund(message: CloseRefundMessage, sending: Sending): Promise<CommandReply> {
    return command(this.commands, ORDER_COMMANDS.closeRefund, message, sending);
  }

  get(query: GetOrder, trace: Trace): Promise<GetOrderReply> {
    return ask(this.queries, ORDER_QUERIES.get, query, trace);
  }

  newestPosition(trace: Trace): Promise<GetNewestPositionReply> {
    return ask(this.queries, ORDER_QUERIES.newestPosition, {}, { ...trace, deadlineMs: NEWEST_DEADLINE_MS });
  }

  list(query: ListOrders, trace: Trace): Promise<ListOrdersReply> {
    return ask(this.queries, ORDER_QUERIES.list, query, trace);
  }

  events(query: ListOrderEvents, trace: Trace): Promise<ListOrderEventsReply> {
    return ask(this.queries, ORDER_QUERIES.events, query, trace);
  }

  #command(pattern: OrderCommandPattern, message: object, sending: Sending): Promise<CommandReply> {
    return command<CommandReply>(this.commands, pattern, message, sending).catch((error: Error) => {
      if (error instanceof NotTakenError) return this.repeat(pattern, message, sending, error);
      throw error;
    });
  }
}

/** A refusal is told at once: it waits no longer for a look at what was answered before. */
const LOOK_UP_DEADLINE_MS = 500;
/** Whoever asks goes on without the answer. */
const NEWEST_DEADLINE_MS = 500;

type OrderCommandPattern = (typeof ORDER_COMMANDS)[keyof typeof ORDER_COMMANDS];
