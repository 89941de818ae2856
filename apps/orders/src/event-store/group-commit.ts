import type { CommandReply } from '@tandem/contracts/order-commands';
import { confirmStored, durably, durableTransaction, UncertainCommitError } from '@tandem/postgres/durable';
import { isConnectionLost, isNotDone, sqlState, violatedConstraint } from '@tandem/postgres/errors';
import { OutcomeUnknownError, UnavailableError } from '@tandem/transports/rabbitmq/errors';
import type { Pool, PoolClient } from 'pg';
import type { OrderLimits } from '../order/decide.ts';
import { append } from './append.ts';
import { decideBatch, type Command, type DecidedBatch } from './decide-batch.ts';
import { load, type Loaded, type ToLoad } from './load.ts';

export interface GroupCommitOptions {
  pool: Pool;
  /** The most commands in one append. */
  commandsMax: number;
  /** How long a database that is away is tried again before commands that were never sent to it are given back. */
  unavailableAfterMs: number;
  /** The pause between two tries. */
  retryPauseMs: number;
  /** Told after each append, so that followers need not wait for their next poll. */
  onAppended: () => void;
  /** What time it is: the database's, which deadlines go by, too. */
  now?: () => Date | Promise<Date>;
  limits?: OrderLimits;
}

interface Pending {
  command: Command;
  /** Milliseconds until nobody waits for the answer any more. */
  remainingMs: () => number;
  resolve: (reply: CommandReply) => void;
  reject: (error: Error) => void;
}

/**
 * Commits commands in groups: while one batch commits, the next gathers; of placements, two are under way at once, so that
 * the database works on one while the other is decided and answered. A command's promise settles after its outcome is
 * committed, never before: it resolves with the reply, rejects with UnavailableError when provably nothing was done, and
 * with OutcomeUnknownError when the database could not say in time whether it was.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #gathering: Pending[] = [];
  /** Since when the database has not answered, on the clock of `performance.now()`. */
  #awaySince: number | undefined;
  /** Until when batches of placements look up their outcomes first, because repeats are about; on the same clock. */
  #looksUntil = 0;
  readonly #underWay = new Set<Promise<void>>();
  /** Whether what is under way cannot be at odds with more placements. */
  #independent = true;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  execute(command: Command, remainingMs: () => number): Promise<CommandReply> {
    return new Promise((resolve, reject) => {
      const gathered = this.#gathering.push({ command, remainingMs, resolve, reject });
      // A turn of the event loop lets the commands that arrived together travel together.
      if (gathered === 1) setImmediate(() => this.#begin());
    });
  }

  /** Resolves when everything handed in so far is settled. */
  async drained(): Promise<void> {
    while (this.#gathering.length > 0 || this.#underWay.size > 0) {
      await new Promise((turn) => setImmediate(turn));
      if (this.#underWay.size > 0) await Promise.race(this.#underWay);
    }
  }

  /** Begins what may be under way by now; the end of a group begins the next. */
  #begin(): void {
    const isAway = this.#awaySince !== undefined;
    while (
      this.#gathering.length > 0 &&
      this.#underWay.size < (isAway ? GROUPS_MAX_WHILE_AWAY : INDEPENDENT_GROUPS_MAX)
    ) {
      const group = this.#gathering.slice(0, this.#options.commandsMax);
      const independent = this.#mayBeNew(group.map(({ command }) => command));
      if (this.#underWay.size > 0 && !isAway && !(independent && this.#independent)) return;
      this.#gathering = this.#gathering.slice(group.length);
      this.#independent = independent;
      const settled: Promise<void> = this.#settle(group).then(() => {
        this.#underWay.delete(settled);
        this.#begin();
      });
      this.#underWay.add(settled);
    }
  }

  /**
   * Brings every command of the list to its answer.
   *
   * @param maybeDone whether an earlier try may have committed them.
   */
  async #settle(pending: Pending[], maybeDone = false): Promise<void> {
    let lockFirst = false;
    let conflicts = 0;
    for (;;) {
      const waiting = giveUpLate(pending, maybeDone);
      if (waiting.length === 0) return;
      pending = waiting;
      let sent = false;
      try {
        const { replies, appended } = await this.#attempt(pending, lockFirst, () => (sent = true));
        this.#awaySince = undefined;
        pending.forEach(({ resolve }, index) => resolve(replies[index] as CommandReply));
        if (appended) this.#options.onAppended();
        return;
      } catch (error) {
        // Nothing was done; those who are late are told so, and the others tried again.
        if (error instanceof LateError) continue;
        const verdict = judge(error, sent);
        if (verdict === 'conflict' && ++conflicts > CONFLICTS_MAX)
          return this.#halve(pending, new Error(`It conflicts with itself: ${(error as Error).message}`), maybeDone);
        if (verdict === 'offender') return this.#halve(pending, error as Error, maybeDone);
        if (verdict === 'undecidable') return pending.forEach(({ reject }) => reject(unknown(error as Error)));
        if (verdict === 'failed')
          return pending.forEach(({ reject }) => reject(maybeDone ? unknown(error as Error) : (error as Error)));
        // From a conflict on, the lock is taken before the streams are read: it never needs more than a second try.
        lockFirst = true;
        if (verdict === 'conflict') {
          this.#looksUntil = performance.now() + LOOK_AFTER_CONFLICT_MS;
          continue;
        }
        maybeDone ||= verdict === 'unknown';
        if (this.#awaySince === undefined) {
          this.#awaySince = performance.now();
          this.#begin();
        }
        // Counted from the first failure: what comes later in a long outage is refused after one try.
        if (!maybeDone && performance.now() - this.#awaySince > this.#options.unavailableAfterMs) {
          return pending.forEach(({ reject }) => reject(unavailable(error as Error)));
        }
        await new Promise((resume) => setTimeout(resume, this.#options.retryPauseMs));
      }
    }
  }

  async #attempt(
    pending: readonly Pending[],
    lockFirst: boolean,
    sending: () => void,
  ): Promise<{ replies: CommandReply[]; appended: boolean }> {
    const { pool, now = () => new Date(), limits } = this.#options;
    const commands = pending.map(({ command }) => command);
    const wanted = toLoad(commands);
    const result = (decided: DecidedBatch, first: number) => ({
      replies: decided.replies(first),
      appended: decided.batch.events.length > 0,
    });
    if (!lockFirst) {
      const loaded = this.#mayBeNew(commands) ? NOTHING : await load(pool, wanted);
      const decided = decideBatch(commands, loaded, await now(), limits);
      if (decided.batch.outcomes.length === 0) {
        // A commit that waited for a standby in vain can be seen all the same: only when the standby has it, it is answered.
        if (loaded.outcomes.size > 0) {
          sending();
          await confirmStored(pool);
        }
        return result(decided, 0);
      }
      const send = (client: PoolClient) => {
        sending();
        return append(client, decided.batch);
      };
      return result(decided, await durably(pool, send));
    }
    // Whatever it takes to know the time is done before the lock is held.
    await now();
    let isRepeat = false;
    const answered = await durableTransaction(pool, async (client) => {
      await client.query('select pg_advisory_xact_lock(42)');
      // Waiting for the lock may have taken longer than a caller waits.
      if (pending.some(({ remainingMs }) => remainingMs() <= 0)) throw new LateError();
      const loaded = await load(client, wanted);
      const decided = decideBatch(commands, loaded, await now(), limits);
      isRepeat = decided.batch.outcomes.length === 0 && loaded.outcomes.size > 0;
      if (decided.batch.outcomes.length === 0) return result(decided, 0);
      sending();
      return result(decided, await append(client, decided.batch));
    });
    if (isRepeat) {
      sending();
      await confirmStored(pool);
    }
    return answered;
  }

  /**
   * Placements name no order that could have a history, and the keys of the tables refuse a command or a reference that has
   * been here before: then the second try looks. See
   * docs/adr/0015-placements-look-after-a-conflict.md.
   */
  #mayBeNew(commands: readonly Command[]): boolean {
    if (this.#awaySince !== undefined || performance.now() < this.#looksUntil) return false;
    return commands.every(({ order }) => order.type === 'PlaceOrder');
  }

  /** One command that cannot be stored or decided fails its whole batch: the halves are tried apart until it is alone. */
  async #halve(pending: Pending[], error: Error, maybeDone: boolean): Promise<void> {
    const [only] = pending;
    if (only !== undefined && pending.length === 1) {
      if (maybeDone) return only.reject(unknown(error));
      if (sqlState(error) === undefined) return only.reject(error);
      const detail = `The database cannot store this command: ${error.message}`.slice(0, 500);
      return only.resolve({ outcome: 'rejected', rejection: { code: 'unstorable', detail }, replayed: false });
    }
    const middle = Math.ceil(pending.length / 2);
    await this.#settle(pending.slice(0, middle), maybeDone);
    await this.#settle(pending.slice(middle), maybeDone);
  }
}

function toLoad(commands: readonly Command[]): ToLoad {
  const wanted: ToLoad = { commandIds: [], orderIds: [], references: [] };
  for (const { id, order } of commands) {
    wanted.commandIds.push(id);
    if (order.type !== 'PlaceOrder') wanted.orderIds.push(order.orderId);
    else if (order.body.reference !== undefined)
      wanted.references.push({ customerId: order.body.customerId, reference: order.body.reference });
  }
  return wanted;
}

/** More would wait for the same lock, and be smaller. See docs/adr/0016-two-groups-under-way.md. */
const INDEPENDENT_GROUPS_MAX = 2;

/**
 * Groups that may have been stored ask for their outcomes until nobody waits for them. What comes meanwhile was not stored, and
 * does not wait behind them to be told so.
 */
const GROUPS_MAX_WHILE_AWAY = INDEPENDENT_GROUPS_MAX + 1;

/** The keys by which an append tells that somebody else was first. */
const CONFLICTS = ['events_order_version', 'commands_id', 'orders_customer_reference', 'orders_pkey'];

/**
 * Lock first, a second try meets nobody who could be first. A batch that conflicts all the same is at odds with what it
 * loads, and tried for ever it would hold up every other command.
 */
const CONFLICTS_MAX = 5;

/** Whoever repeats one command often repeats more: after an outage, or when a client tries everything again. */
const LOOK_AFTER_CONFLICT_MS = 1_000;

const NOTHING: Loaded = { outcomes: new Map(), streams: new Map(), references: new Map() };

/** The deadline of a command passed before it was decided. */
class LateError extends Error {}

type Verdict = 'conflict' | 'offender' | 'not-done' | 'failed' | 'unknown' | 'undecidable';

/**
 * What a failed try means: `conflict`, somebody was first; `offender`, one of the commands cannot be stored or decided;
 * `not-done`, nothing was, and a later try may succeed; `failed`, nothing was, and the fault is in the database or in this
 * service, not in a command; `unknown`, it may have been, which the command ids will tell; `undecidable`, it was done here
 * but perhaps not on the standby, which nothing here can tell.
 */
function judge(error: unknown, sent: boolean): Verdict {
  if (error instanceof UncertainCommitError) return 'undecidable';
  if (isConnectionLost(error)) return sent ? 'unknown' : 'not-done';
  const state = sqlState(error);
  // A bug, in deciding one of the commands perhaps: the others must not suffer.
  if (state === undefined) return 'offender';
  if (state === '23505' && CONFLICTS.includes(violatedConstraint(error) ?? '')) return 'conflict';
  // Deadlock and serialization failure; the server rolled back and the same batch may be tried again.
  if (/^40/.test(state)) return 'conflict';
  // Cardinality, values, constraints, and limits of the server: it is about what was to be stored.
  if (/^(21|22|23|54)/.test(state)) return 'offender';
  return isNotDone(error) ? 'not-done' : 'failed';
}

/** Settles the commands that nobody waits for any more, and returns the others. */
function giveUpLate(pending: readonly Pending[], maybeDone: boolean): Pending[] {
  return pending.filter(({ remainingMs, reject }) => {
    if (remainingMs() > 0) return true;
    const late = new Error('Its deadline passed.');
    reject(maybeDone ? unknown(late) : unavailable(late));
    return false;
  });
}

const unknown = (cause: Error) =>
  new OutcomeUnknownError(`The database did not say in time whether this was stored: ${cause.message}`);
const unavailable = (cause: Error) => new UnavailableError(`Nothing was done: ${cause.message}`);
