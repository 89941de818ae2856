import type { CommandReply, FindOutcome, PlaceOrderMessage } from '@tandem/contracts/order-commands';
import { ORDER_COMMANDS } from '@tandem/contracts/topology';
import type { Command } from '../event-store/decide-batch.ts';
import type { GroupCommit } from '../event-store/group-commit.ts';
import { storedAnswer } from '../event-store/stored-answer.ts';
import type { OrderCommand } from './decide.ts';
import { orderIds } from './order-ids.ts';
import { payloadHashOf } from './payload-hash.ts';
import type { Pool } from 'pg';

/** What a command brings besides itself. */
export interface Delivery {
  /** Milliseconds until nobody waits for the answer any more. */
  remainingMs(): number;
  traceparent?: string | undefined;
}

/** What is asked of an order that is there already. */
export type AddressedCommand = Exclude<OrderCommand, { type: 'PlaceOrder' }>;

/** Takes commands to their decision and its commit. */
export class CommandHandler {
  readonly #commits: GroupCommit;
  readonly #newOrderId = orderIds();

  readonly #lookUps: Pool;

  /** @param lookUps for what was decided before: never behind commands. */
  constructor(commits: GroupCommit, lookUps: Pool) {
    this.#commits = commits;
    this.#lookUps = lookUps;
  }

  place(message: PlaceOrderMessage, delivery: Delivery): Promise<CommandReply> {
    return this.#execute({ ...placement(message), newOrderId: this.#newOrderId }, delivery);
  }

  address(commandId: string, order: AddressedCommand, delivery: Delivery): Promise<CommandReply> {
    return this.#execute(addressed(commandId, order), delivery);
  }

  /** What a command was answered when it was decided, if it was. */
  find(asked: FindOutcome): Promise<CommandReply | undefined> {
    if (asked.pattern === ORDER_COMMANDS.place) return storedAnswer(this.#lookUps, placement(asked.message));
    const { commandId, ...order } = asked.message;
    const type = TYPES[asked.pattern];
    return storedAnswer(this.#lookUps, addressed(commandId, { type, ...order } as AddressedCommand));
  }

  #execute(command: Command, delivery: Delivery): Promise<CommandReply> {
    return this.#commits.execute({ ...command, traceparent: delivery.traceparent }, () => delivery.remainingMs());
  }
}

const TYPES = {
  [ORDER_COMMANDS.cancel]: 'CancelOrder',
  [ORDER_COMMANDS.ship]: 'ShipOrder',
  [ORDER_COMMANDS.deliver]: 'ConfirmDelivery',
  [ORDER_COMMANDS.refund]: 'RefundOrder',
  [ORDER_COMMANDS.closeRefund]: 'CloseRefund',
} as const satisfies Partial<Record<string, AddressedCommand['type']>>;

function placement({ commandId, body }: PlaceOrderMessage): Command {
  const payloadHash = payloadHashOf({ type: 'PlaceOrder', body });
  return { id: commandId, payloadHash, order: { type: 'PlaceOrder', orderId: NO_ID_YET, body } };
}

const addressed = (id: string, order: AddressedCommand): Command => ({ id, payloadHash: payloadHashOf(order), order });

/** A command of the system itself. Its id follows from what it asks for, so that it is carried out once, whoever asks. */
export function commandOf(order: AddressedCommand): Command {
  const payloadHash = payloadHashOf(order);
  return { id: payloadHash, payloadHash, order };
}

/** An order gets its id in the moment in which it is placed. */
const NO_ID_YET = '00000000-0000-0000-0000-000000000000';
