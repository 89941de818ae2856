import type { LogCheckpoint } from '@tandem/contracts/event-record';

/** The position of the last event counted, by partition. A partition that was never started has counted nothing. */
export type Marks = ReadonlyMap<number, bigint>;

/** The most checkpoints that are kept while they wait to be reached. */
export const CHECKPOINTS_MAX = 1_024;

/** What the relay has said about the log, newest last: enough of it to turn marks into one position. */
export class Checkpoints {
  #kept: LogCheckpoint[] = [];

  get newest(): LogCheckpoint | undefined {
    return this.#kept.at(-1);
  }

  get size(): number {
    return this.#kept.length;
  }

  /** Takes a checkpoint. One of another epoch begins a new history. */
  add(checkpoint: LogCheckpoint): void {
    if (this.newest !== undefined && this.newest.epoch !== checkpoint.epoch) this.#kept = [];
    // A relay that takes over may say again what was said before it.
    if (this.newest !== undefined && checkpoint.position < this.newest.position) return;
    this.#kept.push(checkpoint);
    // Thinned rather than cut: whoever is far behind still finds one close to where it stands.
    if (this.#kept.length > CHECKPOINTS_MAX)
      this.#kept = this.#kept.filter((_, index) => index % 2 === 1 || index === this.#kept.length - 1);
  }

  /**
   * The highest position up to which everything is known to be counted, 0 when nothing is known about this epoch.
   * Checkpoints that are behind the highest satisfied one are forgotten.
   */
  reachedBy(marks: Marks, epoch: string | undefined): bigint {
    if (this.newest === undefined || this.newest.epoch !== epoch) return 0n;
    const satisfied = this.#kept.findLastIndex((checkpoint) => lacking(checkpoint, marks).length === 0);
    if (satisfied > 0) this.#kept.splice(0, satisfied);
    const reached = this.#kept.map((checkpoint) => provenBy(checkpoint, marks));
    return reached.reduce((highest, position) => (position > highest ? position : highest), 0n);
  }

  /** Partitions that were read past the newest checkpoint's end without finding what it says is there. */
  missing(marks: Marks, nextOffsets: ReadonlyMap<number, bigint>): { partition: number; position: number }[] {
    if (this.newest === undefined) return [];
    return lacking(this.newest, marks).filter(
      ({ partition, endOffset }) => (nextOffsets.get(partition) ?? -1n) >= BigInt(endOffset),
    );
  }
}

/**
 * How far one checkpoint proves that everything is counted: all of it when no partition lacks anything. Else up to the
 * smallest mark of those that do: they have counted what is at or below their mark, and the others all that is below the
 * checkpoint.
 */
function provenBy(checkpoint: LogCheckpoint, marks: Marks): bigint {
  const behind = lacking(checkpoint, marks).map(({ partition }) => marks.get(partition) ?? 0n);
  return behind.reduce((least, mark) => (mark < least ? mark : least), BigInt(checkpoint.position));
}

const lacking = ({ partitions }: LogCheckpoint, marks: Marks) =>
  partitions.filter(({ partition, position }) => (marks.get(partition) ?? 0n) < BigInt(position));
