import type { CommandReply } from '@tandem/contracts/order-commands';
import { leadWheneverPossible, pause, type LeadershipOptions, type Term } from '@tandem/postgres/leader';
import type { GroupCommit } from '../event-store/group-commit.ts';
import { commandOf } from '../order/command-handler.ts';

/**
 * The oldest unpaid orders that were placed so long ago: an id begins with the millisecond of placing. The oldest of all are read,
 * and which of them are due is decided outside of the limit: inside, PostgreSQL would read all that are not due, too.
 */
export const dueStatement = (deadlineMs: number, limit: number) => ({
  name: 'orders-past-payment-deadline',
  text: `select id from (
           select status, id from orders where (status, id) >= ('placed', '00000000-0000-0000-0000-000000000000'::uuid)
            order by status, id limit $2) as oldest
          where status = 'placed'
            and id < (lpad(to_hex(greatest(0, (extract(epoch from now()) * 1000)::bigint - $1)), 12, '0') || repeat('0', 20))::uuid
          order by id`,
  values: [deadlineMs, limit],
});

export interface PaymentDeadlinesOptions {
  commits: GroupCommit;
  leadership: Omit<LeadershipOptions, 'name'>;
  /** How long an order may wait for its payment. */
  deadlineMs: number;
  /** How many orders are cancelled at once. */
  ordersMax: number;
  /** The pause after a look that found nothing more to do. */
  pollMs: number;
  onFailure: (error: Error) => void;
}

/** How long the cancelling of one batch is tried before it is looked up again. */
const COMMAND_MS_MAX = 10_000;

/**
 * Cancels orders that were not paid in time. Nothing is remembered here: what is due follows from the table and the clock of the
 * database, so a deadline outlives every restart. One instance looks at a time; each order's command has one id for ever, so it
 * is cancelled once though two should have looked.
 */
export class PaymentDeadlines {
  readonly #options: PaymentDeadlinesOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: PaymentDeadlinesOptions) {
    this.#options = options;
  }

  start(): void {
    const { leadership, onFailure } = this.#options;
    const lead = (term: Term) => this.#lead(term);
    this.#running = leadWheneverPossible(
      { ...leadership, name: 'payment-deadlines' },
      this.#stop.signal,
      lead,
      onFailure,
    );
  }

  /** Finishes the batch under way and gives up the leadership. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #lead(term: Term): Promise<void> {
    const { ordersMax, pollMs } = this.#options;
    while (!term.signal.aborted) {
      const due = await this.#due(term);
      const replies = await Promise.all(due.map((orderId) => this.#expire(orderId)));
      // What was replayed is no progress: an order that stays due is looked at again after a pause.
      const progress = replies.some(({ replayed }) => !replayed);
      if (due.length < ordersMax || !progress) await pause(pollMs, term.signal);
    }
  }

  /** The oldest orders whose time is over. Mostly there is none, as the first one tells. */
  async #due({ client }: Term): Promise<string[]> {
    const { deadlineMs, ordersMax } = this.#options;
    const read = async (limit: number) => (await client.query<{ id: string }>(dueStatement(deadlineMs, limit))).rows;
    const due = (await read(1)).length === 0 ? [] : await read(ordersMax);
    return due.map(({ id }) => id);
  }

  #expire(orderId: string): Promise<CommandReply> {
    const until = performance.now() + COMMAND_MS_MAX;
    return this.#options.commits.execute(commandOf({ type: 'ExpireOrder', orderId }), () => until - performance.now());
  }
}
