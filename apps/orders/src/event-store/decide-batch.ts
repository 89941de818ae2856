import type { OrderState } from '@tandem/contracts/order';
import type { CommandReply } from '@tandem/contracts/order-commands';
import type { Rejection } from '@tandem/contracts/rejections';
import { decide, ORDER_LIMITS, type OrderCommand, type OrderLimits } from '../order/decide.ts';
import { evolve, fold, type Recorded } from '../order/order.ts';
import type { Batch } from './append.ts';
import { referenceKey, type Loaded, type StoredOutcome } from './load.ts';

/** A command on its way to a decision. */
export interface Command {
  /** The id under which its outcome is kept. */
  id: string;
  /** A hash of what was asked, to tell a repeat from another command with the same id. */
  payloadHash: string;
  order: OrderCommand;
  /** Makes the id of an order that is placed, of the moment in which it is: so the id says when that was. */
  newOrderId?: (at: Date) => string;
  traceparent?: string | undefined;
}

/** An answer that waits for the commit: `position` is known of earlier events, `eventIndex` of what this batch appends. */
type Answer =
  | { state: OrderState; position: number; replayed: boolean }
  | { state: OrderState; eventIndex: number; replayed: boolean }
  | { rejection: Rejection; replayed: boolean };

/** What a batch comes to: what to append, and each command's answer once the position of the first event is known. */
export interface DecidedBatch {
  batch: Batch;
  replies(firstPosition: number): CommandReply[];
}

/**
 * Decides a batch in the order of arrival. Two commands on one order see each other; a repeated command id gets the first
 * one's answer, or is refused when it asks for something else.
 */
export function decideBatch(
  commands: readonly Command[],
  loaded: Loaded,
  now: Date,
  limits: OrderLimits = ORDER_LIMITS,
): DecidedBatch {
  const at = now.toISOString();
  const batch: Batch = { outcomes: [], orders: [], events: [], at };
  const states = new Map<string, OrderState>();
  /** Of each order that this batch changes, the place in the batch of its latest event. */
  const latest = new Map<string, number>();
  const references = new Map(loaded.references);
  const decidedHere = new Map<string, { payloadHash: string; answer: Answer }>();

  const stateOf = (orderId: string) => {
    const known = states.get(orderId) ?? fold(loaded.streams.get(orderId) ?? []);
    // Kept, so that many refusals of one order fold it once.
    if (known !== undefined) states.set(orderId, known);
    return known;
  };

  const decideOne = (command: Command): Answer => {
    const order = withNewId(command, now);
    const decision = decide(withReference(order, references), stateOf(order.orderId), limits);
    const { id: commandId, payloadHash } = command;
    if ('rejection' in decision) {
      // Nobody can know the id of an order before it is placed: decided anew, this is refused again. Kept, whoever makes ids up
      // would fill the table.
      if (decision.rejection.code === 'order_not_found') return { rejection: decision.rejection, replayed: false };
      const orderId = order.type === 'PlaceOrder' ? null : order.orderId;
      batch.outcomes.push({ commandId, payloadHash, orderId, version: null, rejection: decision.rejection });
      return { rejection: decision.rejection, replayed: false };
    }
    let state = stateOf(order.orderId);
    for (const event of decision.events) {
      const recorded: Recorded = { ...event, orderId: order.orderId, version: (state?.version ?? 0) + 1, at };
      state = evolve(state, recorded);
      batch.events.push({ ...recorded, traceparent: command.traceparent });
    }
    if (state === undefined) throw new Error(`${order.type} was accepted without an event.`);
    if (decision.events.length > 0) {
      states.set(order.orderId, state);
      latest.set(order.orderId, batch.events.length - 1);
    }
    if (state.reference !== undefined) references.set(referenceKey(state.customerId, state.reference), state.id);
    batch.outcomes.push({
      commandId,
      payloadHash,
      orderId: order.orderId,
      version: state.version,
      rejection: null,
    });
    const eventIndex = latest.get(order.orderId);
    if (eventIndex !== undefined) return { state, eventIndex, replayed: false };
    return { state, position: positionOf(order.orderId, loaded), replayed: false };
  };

  const answers = commands.map((command): Answer => {
    const earlier = decidedHere.get(command.id);
    if (earlier !== undefined) return repeated(command, earlier.payloadHash, { ...earlier.answer, replayed: true });
    const stored = loaded.outcomes.get(command.id);
    if (stored !== undefined) return repeated(command, stored.payloadHash, storedAnswer(stored, loaded));
    const answer = decideOne(command);
    decidedHere.set(command.id, { payloadHash: command.payloadHash, answer });
    return answer;
  });
  for (const orderId of latest.keys()) batch.orders.push(states.get(orderId) as OrderState);

  return { batch, replies: (firstPosition) => answers.map((answer) => reply(answer, firstPosition)) };
}

function withNewId({ order, newOrderId }: Command, now: Date): OrderCommand {
  return order.type === 'PlaceOrder' && newOrderId !== undefined ? { ...order, orderId: newOrderId(now) } : order;
}

/** Of an order's latest event, when an accepted command has added none. */
function positionOf(orderId: string, { streams }: Loaded): number {
  const last = streams.get(orderId)?.at(-1);
  if (last === undefined) throw new Error(`The events of order ${orderId} are not there.`);
  return last.position;
}

function withReference(order: OrderCommand, references: ReadonlyMap<string, string>): OrderCommand {
  if (order.type !== 'PlaceOrder' || order.body.reference === undefined) return order;
  return { ...order, referenceTakenBy: references.get(referenceKey(order.body.customerId, order.body.reference)) };
}

function repeated(command: Command, payloadHash: string, answer: Answer): Answer {
  if (payloadHash === command.payloadHash) return answer;
  return { rejection: { code: 'key_reused' }, replayed: false };
}

/** The first answer again: the order as it was then, which its events up to that version still say. */
function storedAnswer({ rejection, orderId, version }: StoredOutcome, { streams }: Loaded): Answer {
  if (rejection !== null) return { rejection, replayed: true };
  const history = (streams.get(orderId as string) ?? []).filter((event) => event.version <= (version as number));
  const state = fold(history);
  const last = history.at(-1);
  if (state === undefined || last?.version !== version)
    throw new Error(`The events of order ${orderId} up to version ${version} are not all there.`);
  return { state, position: last.position, replayed: true };
}

function reply(answer: Answer, firstPosition: number): CommandReply {
  const { replayed } = answer;
  if ('rejection' in answer) return { outcome: 'rejected', rejection: answer.rejection, replayed };
  const position = 'position' in answer ? answer.position : firstPosition + answer.eventIndex;
  return { outcome: 'accepted', order: { ...answer.state, position }, replayed };
}
