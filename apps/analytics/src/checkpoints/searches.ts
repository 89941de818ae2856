/** Where a partition stands. */
export interface Standing {
  partition: number;
  mark: bigint;
  nextOffset: bigint;
}

/** The pause between two searches of one partition: it doubles from the first to the second while nothing is found. */
export const SEARCH_MS_MIN = 2_000;
export const SEARCH_MS_MAX = 300_000;

/**
 * Which partitions are searched from their beginning for what was published and not found, and when: at once, and then less
 * and less often, because each search reads all of a partition.
 */
export class Searches {
  readonly #last = new Map<number, Standing & { waitMs: number; nextAtMs: number }>();

  /** Whether to search a partition now; it counts as searched then. */
  begin(standing: Standing, nowMs: number): boolean {
    const last = this.#of(standing);
    if (last !== undefined && nowMs < last.nextAtMs) return false;
    const waitMs = last === undefined ? SEARCH_MS_MIN : Math.min(2 * last.waitMs, SEARCH_MS_MAX);
    this.#last.set(standing.partition, { ...standing, waitMs, nextAtMs: nowMs + waitMs });
    return true;
  }

  /** How far a partition was read since its mark last moved: a search does not make unread what was read before it. */
  readUpTo(standing: Standing): bigint {
    const last = this.#of(standing)?.nextOffset ?? 0n;
    return last > standing.nextOffset ? last : standing.nextOffset;
  }

  /** The last search, unless something was found since. */
  #of({ partition, mark }: Standing) {
    const last = this.#last.get(partition);
    return last?.mark === mark ? last : undefined;
  }
}
