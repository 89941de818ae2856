import {
  parkedRowOf,
  type DropParked,
  type ListParked,
  type ListParkedReply,
  type ParkedDetails,
  type ParkedOutcome,
  type RedriveParked,
} from '@tandem/contracts/parked';
import { Parked } from '@tandem/transports/rabbitmq/parked.controller';
import { afterOutcomes } from '@tandem/transports/rabbitmq/parked-messages';

/** The records of the log and the messages of the queue, which share one numbering. */
export class ParkedInAnalytics extends Parked {
  readonly #records: Parked;
  readonly #messages: Parked;

  constructor(records: Parked, messages: Parked) {
    super();
    this.#records = records;
    this.#messages = messages;
  }

  async list(query: ListParked): Promise<ListParkedReply> {
    const replies = await Promise.all([this.#records.list(query), this.#messages.list(query)]);
    const parked = replies.flatMap((reply) => reply.parked);
    parked.sort((one, other) => (rowOf(one.id) > rowOf(other.id) ? -1 : 1));
    return {
      parked: parked.slice(0, query.limit),
      more: parked.length > query.limit || replies.some(({ more }) => more),
    };
  }

  async show(id: string): Promise<ParkedDetails | null> {
    return (await this.#records.show(id)) ?? (await this.#messages.show(id));
  }

  async redrive(query: RedriveParked): Promise<ParkedOutcome[]> {
    const outcomes = await this.#records.redrive(query);
    const ids = outcomes.filter(({ outcome }) => outcome === 'not_found').map(({ id }) => id);
    if (ids.length === 0) return outcomes;
    const redriven = await this.#messages.redrive({ ...query, ids }).catch((error: unknown) => {
      throw afterOutcomes(new Map(outcomes.map((outcome) => [outcome.id, outcome])), error);
    });
    const others = new Map(redriven.map((outcome) => [outcome.id, outcome]));
    return outcomes.map((outcome) => others.get(outcome.id) ?? outcome);
  }

  async drop(query: DropParked): Promise<ParkedOutcome> {
    const outcome = await this.#records.drop(query);
    return outcome.outcome === 'not_found' ? this.#messages.drop(query) : outcome;
  }
}

const rowOf = (id: string): bigint => parkedRowOf('analytics', id) ?? 0n;
