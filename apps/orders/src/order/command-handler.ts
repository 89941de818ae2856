import { hash } from 'node:crypto';
import type { CommandReply, PlaceOrderMessage } from '@tandem/contracts/order-commands';
import type { Command } from '../event-store/decide-batch.ts';
import type { GroupCommit } from '../event-store/group-commit.ts';
import type { OrderCommand } from './decide.ts';
import { orderIds } from './order-ids.ts';

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

/**
 * The first 128 bits of the SHA-256 of what was asked, as a UUID's text: equal for bodies that say the same, whatever the
 * order of their keys.
 */
export function payloadHashOf(asked: object): string {
  const digest = hash('sha256', canonical(asked), 'hex');
  return digest.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** JSON with the keys of every object in order. Written by hand: a replacer that sorts takes a third longer. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const entries = value as Record<string, unknown>;
  let json = '';
  for (const key of Object.keys(entries).sort())
    if (entries[key] !== undefined)
      json += `${json === '' ? '' : ','}${JSON.stringify(key)}:${canonical(entries[key])}`;
  return `{${json}}`;
}
