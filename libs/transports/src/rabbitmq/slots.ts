/**
 * How many requests may wait for an answer: as many as are answered in `waitMsMax` at the rate seen last, by Little's law
 * (L = λW). The rate is learned while enough requests wait that answers come as fast as they can; what was learned is kept.
 */
export class Slots {
  readonly #most: number;
  readonly #least: number;
  readonly #waitMsMax: number;
  #count: number;
  #answered = 0;
  #since: number | undefined;

  /**
   * @param most never more than these, and as many until a rate is known.
   * @param waitMsMax unset, it is always as many.
   */
  constructor(most: number, waitMsMax = Infinity) {
    this.#most = this.#count = most;
    this.#least = Math.min(most, SLOTS_MIN);
    this.#waitMsMax = waitMsMax;
  }

  get count(): number {
    return this.#count;
  }

  /** One request was answered. */
  answered(): void {
    this.#answered += 1;
  }

  /**
   * To be called every few milliseconds while requests wait.
   *
   * @param now milliseconds on any clock that does not jump.
   * @param waiting how many requests wait for an answer.
   */
  look(now: number, waiting: number): void {
    if (this.#since !== undefined && now - this.#since >= WINDOW_MS) {
      const wanted = (this.#answered / (now - this.#since)) * this.#waitMsMax;
      this.#count = Math.round(Math.max(this.#least, Math.min(this.#most, (this.#count + wanted) / 2)));
      this.#since = undefined;
    }
    // With fewer the rate is that at which requests come, and says nothing of how many could be answered.
    if (waiting < this.#least) this.#since = undefined;
    else if (this.#since === undefined) {
      this.#since = now;
      this.#answered = 0;
    }
  }
}

/** So many may always wait: a burst after a quiet time, and whoever comes while nothing is answered. */
const SLOTS_MIN = 256;
const WINDOW_MS = 200;
