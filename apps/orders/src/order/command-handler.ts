import type { CommandReply, PlaceOrderMessage } from '@tandem/contracts/order-commands';
import type { Command } from '../event-store/decide-batch.ts';
import type { GroupCommit } from '../event-store/group-commit.ts';
import type { OrderCommand } from './decide.ts';
import { orderIds } from './order-ids.ts';
import { payloadHashOf } from './payload-hash.ts';

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

  constructor(commits: GroupCommit) {
    this.#commits = commits;
  }

  place({ commandId, body }: PlaceOrderMessage, delivery: Delivery): Promise<CommandReply> {
    const payloadHash = payloadHashOf({ type: 'PlaceOrder', body });
    const order = { type: 'PlaceOrder', orderId: NO_ID_YET, body } as const;
    return this.#execute({ id: commandId, payloadHash, order, newOrderId: this.#newOrderId }, delivery);
  }

  address(commandId: string, order: AddressedCommand, delivery: Delivery): Promise<CommandReply> {
    return this.#execute({ id: commandId, payloadHash: payloadHashOf(order), order }, delivery);
  }

  #execute(command: Command, delivery: Delivery): Promise<CommandReply> {
    return this.#commits.execute({ ...command, traceparent: delivery.traceparent }, () => delivery.remainingMs());
  }
}

/** A command of the system itself. Its id follows from what it asks for, so that it is carried out once, whoever asks. */
export function commandOf(order: AddressedCommand): Command {
  const payloadHash = payloadHashOf(order);
  return { id: payloadHash, payloadHash, order };
}

/** An order gets its id in the moment in which it is placed. */
const NO_ID_YET = '00000000-0000-0000-0000-000000000000';
