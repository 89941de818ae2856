import type { CountedEvent } from '../../../apps/analytics/src/consumer/read-record.ts';
import type { Checkpoint, StoredEvent } from '../../../apps/orders/src/followers/chain.ts';
import { Later, type Process, type Task, type World } from './world.testing.ts';

// PostgreSQL as its clients meet it: sessions that end with everything they hold, locks that others wait for, writes that
// become visible together at the commit, statements that are executed though nobody hears the answer.

const STATEMENT_TIMEOUT_MS = 400;
/** A session whose client says nothing for this long is ended by the server. */
const IDLE_TIMEOUT_MS = 120;

/** The connection is gone: what was under way may have been done or not. */
export class ConnectionLostError extends Error {
  override name = 'ConnectionLostError';
}

/** Something that one session holds at a time: a row, or an advisory lock. */
export class Lock {
  holder: Session | undefined;
  readonly waiting: { session: Session; grant: () => void }[] = [];

  release(session: Session): void {
    if (this.holder !== session) return;
    this.holder = undefined;
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift())
      if (next.session.open) return next.grant();
  }
}

/** What all its sessions end with. */
export abstract class Server {
  readonly sessions = new Set<Session>();

  constructor(readonly world: World) {}

  /** It falls and comes back; what was committed without waiting for the disk may be gone, the newest first. */
  crash(): void {
    for (const session of this.sessions) session.end();
    this.forgetUnflushed();
  }

  /** A transaction is about to become visible. */
  abstract committing(): void;

  protected abstract forgetUnflushed(): void;
}

/** One connection, and the transaction on it. */
export class Session {
  readonly #server: Server;
  readonly #world: World;
  readonly #pending = new Set<Later<never>>();
  /** Until the transaction ends, and until the session does. */
  readonly #held = new Set<Lock>();
  readonly #kept = new Set<Lock>();
  #writes: (() => void)[] = [];
  readonly #forget: () => void;
  #open = true;

  constructor(
    server: Server,
    process: Process,
    readonly name: string,
  ) {
    this.#server = server;
    this.#world = server.world;
    server.sessions.add(this);
    const silent = () => this.#world.after(IDLE_TIMEOUT_MS, () => process.stopped && this.end());
    this.#forget = process.connect(() => this.end(), silent);
  }

  get open(): boolean {
    return this.#open;
  }

  /** One statement: it travels, is executed, and is answered. @throws ConnectionLostError, or what the statement throws. */
  run<T>(statement: () => T): Task<T> {
    return this.#ask((answer) => {
      let outcome: { value: T } | { error: Error };
      try {
        outcome = { value: statement() };
      } catch (error) {
        outcome = { error: error as Error };
      }
      this.#world.after(this.#world.latency(), () => answer.settle(outcome));
    });
  }

  /** Waits for a lock, which is held until the transaction ends. */
  take(lock: Lock): Task {
    return this.#ask<void>((answer) => {
      const grant = () => {
        lock.holder = this;
        this.#held.add(lock);
        this.#world.after(this.#world.latency(), () => answer.settle({ value: undefined }));
      };
      if (lock.holder === undefined || lock.holder === this) grant();
      else lock.waiting.push({ session: this, grant });
    });
  }

  /** Takes a lock that lasts as long as the session, if nobody holds it. */
  tryTake(lock: Lock): Task<boolean> {
    return this.run(() => {
      if (lock.holder !== undefined) return lock.holder === this;
      lock.holder = this;
      this.#kept.add(lock);
      return true;
    });
  }

  /** Becomes visible at the commit. Called within a statement. */
  write(change: () => void): void {
    this.#writes.push(change);
  }

  /** @throws ConnectionLostError when nobody knows whether it has committed. */
  commit(): Task {
    return this.run(() => {
      this.#server.committing();
      for (const change of this.#writes) change();
      this.#endTransaction();
    });
  }

  /** The connection ends, whoever ended it, and takes along what was not committed. */
  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#server.sessions.delete(this);
    this.#forget();
    this.#endTransaction();
    for (const lock of this.#kept) lock.release(this);
    for (const answer of this.#pending)
      this.#world.after(this.#world.latency(), () => answer.settle({ error: new ConnectionLostError(this.name) }));
  }

  /** What the client does when it is done, or has had enough. */
  *close(): Task {
    yield* this.#world.sleep(this.#world.latency());
    this.end();
  }

  *#ask<T>(execute: (answer: Later<T>) => void): Task<T> {
    const answer = new Later<T>(this.#world);
    const lost = () => answer.settle({ error: new ConnectionLostError(this.name) });
    this.#pending.add(answer as Later<never>);
    this.#world.after(this.#world.latency(), () => (this.#open ? execute(answer) : lost()));
    try {
      return yield* answer.wait(STATEMENT_TIMEOUT_MS);
    } finally {
      this.#pending.delete(answer as Later<never>);
    }
  }

  #endTransaction(): void {
    this.#writes = [];
    for (const lock of this.#held) lock.release(this);
    this.#held.clear();
  }
}

/** The database of orders, as far as the relay knows it. */
export class OrdersDatabase extends Server {
  readonly appendLock = new Lock();
  readonly leaderLock = new Lock();
  readonly #events: StoredEvent[] = [];
  #follower: Checkpoint;
  /** What a crash may leave of the follower's row: the relay commits it without waiting for the disk. */
  #unflushed: Checkpoint[] = [];
  #position = 0n;

  constructor(world: World, epoch: string, partitions: number) {
    super(world);
    const none = Array.from({ length: partitions }, (_, partition) => ({ partition, position: 0n, endOffset: 0n }));
    this.#follower = { epoch, position: 0n, partitions: none };
  }

  /** What has committed, in the order of the commits. */
  get events(): readonly StoredEvent[] {
    return this.#events;
  }

  get follower(): Checkpoint {
    return this.#follower;
  }

  get newest(): bigint {
    return this.#events.reduce((newest, { position }) => (position > newest ? position : newest), 0n);
  }

  /** The next number of the identity column: one that is not used is gone. */
  nextPosition(): bigint {
    this.#position += 1n;
    return this.#position;
  }

  /** Waits for the disk, and takes along whatever was committed before. */
  append(event: StoredEvent): void {
    this.#events.push(event);
    this.#unflushed = [];
  }

  storeFollower(checkpoint: Checkpoint): void {
    this.#unflushed.push(this.#follower);
    this.#follower = checkpoint;
  }

  after(position: bigint, eventsMax: number): StoredEvent[] {
    return this.#events
      .filter((event) => event.position > position)
      .sort((a, b) => (a.position < b.position ? -1 : 1))
      .slice(0, eventsMax);
  }

  versionOf(orderId: string): number {
    return this.#events.filter(({ order_id }) => order_id === orderId).length;
  }

  override committing(): void {
    // Events wait for the disk by themselves, and the follower's row is a transaction of its own.
  }

  protected override forgetUnflushed(): void {
    this.#follower = this.world.pick(this.#unflushed) ?? this.#follower;
    this.#unflushed = [];
  }
}

/** Where a partition stands in the database of analytics. */
export interface OffsetRow {
  nextOffset: bigint;
  mark: bigint;
  gapOffset: bigint | null;
}

/** What is counted, and how far. */
interface Counted {
  rows: ReadonlyMap<number, OffsetRow>;
  epoch: string | undefined;
  events: readonly CountedEvent[];
}

/** The database of analytics. What was counted stays a list, so that nothing twice can hide in a sum. */
export class AnalyticsDatabase extends Server {
  readonly #rowLocks: readonly Lock[];
  #counted: Counted = { rows: new Map(), epoch: undefined, events: [] };
  #progress = 0n;
  /** What a crash may leave: counting commits without waiting for the disk. */
  #unflushed: Counted[] = [];

  constructor(world: World, partitions: number) {
    super(world);
    this.#rowLocks = Array.from({ length: partitions }, () => new Lock());
  }

  get counted(): readonly CountedEvent[] {
    return this.#counted.events;
  }

  get epoch(): string | undefined {
    return this.#counted.epoch;
  }

  get rows(): ReadonlyMap<number, OffsetRow> {
    return this.#counted.rows;
  }

  get marks(): Map<number, bigint> {
    return new Map([...this.rows].map(([partition, { mark }]) => [partition, mark]));
  }

  /** The highest position that somebody has stored as counted. */
  get progress(): bigint {
    return this.#progress;
  }

  rowOf(partition: number): OffsetRow {
    const row = this.rows.get(partition);
    if (row === undefined) throw new Error(`partition ${partition} was never started`);
    return row;
  }

  lockOf(partition: number): Lock {
    return this.#rowLocks[partition] as Lock;
  }

  moveRow(partition: number, row: OffsetRow): void {
    this.#change({ rows: new Map(this.rows).set(partition, row) });
  }

  /** The first epoch stays. */
  storeEpoch(epoch: string): void {
    this.#change({ epoch: this.epoch ?? epoch });
  }

  count(events: readonly CountedEvent[]): void {
    this.#change({ events: [...this.counted, ...events] });
  }

  /** Waits for the disk, and takes along whatever was committed before. */
  flush(): void {
    this.#unflushed = [];
  }

  storeProgress(position: bigint): void {
    if (position > this.#progress) this.#progress = position;
    this.flush();
  }

  override committing(): void {
    this.#unflushed.push(this.#counted);
  }

  protected override forgetUnflushed(): void {
    this.#counted = this.world.pick(this.#unflushed) ?? this.#counted;
    this.flush();
  }

  #change(change: Partial<Counted>): void {
    this.#counted = { ...this.#counted, ...change };
  }
}
