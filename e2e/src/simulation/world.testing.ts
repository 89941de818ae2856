// A world of its own: a clock that jumps, chance that repeats, and processes that can be killed or stopped at any step.

/** What a task does until it yields; it yields how it wants to be resumed. */
export type Task<T = void> = Generator<Wait, T, void>;
export type Wait = (resume: () => void) => void;

/** Everything that happens in one schedule follows from the seed: the same seed gives the same schedule. */
export class World {
  now = 0;
  /** What happened, for a schedule that failed; undefined unless wanted, because it costs more than the rest. */
  readonly trace: string[] | undefined;
  /** Soonest last. */
  readonly #coming: { at: number; run: () => void }[] = [];
  #state: number;

  constructor(seed: number, traced = false) {
    this.#state = seed;
    this.trace = traced ? [] : undefined;
  }

  /** Runs something later. Of two for the same moment, the one that was asked for first comes first. */
  after(ms: number, run: () => void): void {
    const at = this.now + ms;
    let [low, high] = [0, this.#coming.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#coming[middle] as { at: number }).at > at) low = middle + 1;
      else high = middle;
    }
    this.#coming.splice(low, 0, { at, run });
  }

  /** Lets time pass until a moment, or until nothing is left to come. */
  runUntil(ms: number): void {
    for (let next = this.#coming.at(-1); next !== undefined && next.at <= ms; next = this.#coming.at(-1)) {
      this.#coming.pop();
      this.now = next.at;
      next.run();
    }
    this.now = ms;
  }

  /** mulberry32: small, and good enough to choose schedules. @returns a number from 0 up to, not including, 1. */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.random() * from.length)];
  }

  note(text: () => string): void {
    this.trace?.push(`${this.now.toFixed(1).padStart(8)} ${text()}`);
  }

  *sleep(ms: number): Task {
    yield (resume) => this.after(ms, resume);
  }

  /** The time that one message takes: mostly little, sometimes long enough to be overtaken by anything. */
  latency(): number {
    return this.chance(0.03) ? this.random() * 300 : 0.2 + this.random() * 3;
  }
}

/** A value that somebody else will know, or a failure. */
export class Later<T> {
  #outcome: { value: T } | { error: Error } | undefined;
  #wake: () => void = () => undefined;

  constructor(private readonly world: World) {}

  settle(outcome: { value: T } | { error: Error }): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.world.after(0, this.#wake);
  }

  /** @throws Error what it failed with, or that `ms` have passed. */
  *wait(ms: number): Task<T> {
    if (this.#outcome === undefined)
      yield (resume) => {
        this.#wake = resume;
        this.world.after(ms, resume);
      };
    if (this.#outcome === undefined) throw new Error(`no answer within ${ms} ms`);
    if ('error' in this.#outcome) throw this.#outcome.error;
    return this.#outcome.value;
  }
}

/** One process: its tasks run until it is killed, and stand still while it is stopped. */
export class Process {
  #alive = true;
  #stopped = false;
  readonly #held: (() => void)[] = [];
  /** Its connections: what their other ends do when they break, and when nothing is heard any more. */
  readonly #connections = new Set<{ broken: () => void; silent: () => void }>();

  constructor(
    private readonly world: World,
    readonly name: string,
  ) {}

  get alive(): boolean {
    return this.#alive;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  spawn(task: Task): void {
    this.world.after(0, () => this.#step(task));
  }

  /** Something that happens within the process at once, as soon as it runs. */
  run(happening: () => void): void {
    if (!this.#alive) return;
    if (this.#stopped) this.#held.push(() => this.run(happening));
    else happening();
  }

  /** @returns how to forget the connection. */
  connect(broken: () => void, silent: () => void): () => void {
    const connection = { broken, silent };
    this.#connections.add(connection);
    return () => void this.#connections.delete(connection);
  }

  /** As `kill -9` does: nothing of it runs any more, what it sent is on its way all the same. */
  kill(): void {
    if (!this.#alive) return;
    this.world.note(() => `${this.name} is killed`);
    this.#alive = false;
    this.#break();
  }

  /** As a network does. */
  cutConnections(): void {
    this.world.note(() => `${this.name} loses its connections`);
    this.#break();
  }

  /** As SIGSTOP and, later, SIGCONT do. */
  stopFor(ms: number): void {
    if (!this.#alive || this.#stopped) return;
    this.world.note(() => `${this.name} is stopped for ${Math.round(ms)} ms`);
    this.#stopped = true;
    for (const { silent } of this.#connections) silent();
    this.world.after(ms, () => {
      this.#stopped = false;
      for (const resume of this.#held.splice(0)) this.world.after(0, resume);
    });
  }

  #break(): void {
    for (const { broken } of this.#connections) this.world.after(this.world.latency(), broken);
  }

  #step(task: Task): void {
    this.run(() => {
      const step = task.next();
      if (step.done === true) return;
      let resumed = false;
      step.value(() => {
        if (resumed) return;
        resumed = true;
        this.#step(task);
      });
    });
  }
}
