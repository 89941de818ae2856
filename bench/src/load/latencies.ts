import { createHistogram } from 'node:perf_hooks';

/** Latencies in milliseconds; `count` is how many there were. */
export interface LatencySummary {
  count: number;
  p50: number;
  p99: number;
  max: number;
}

/** Gathers latencies to a precision of three digits, from a microsecond on. */
export class Latencies {
  readonly #microseconds = createHistogram({ figures: 3 });

  add(ms: number): void {
    this.#microseconds.record(Math.max(1, Math.round(ms * 1_000)));
  }

  summary(): LatencySummary {
    const { count, max } = this.#microseconds;
    const at = (percentile: number) => (count === 0 ? 0 : this.#microseconds.percentile(percentile) / 1_000);
    return { count, p50: at(50), p99: at(99), max: count === 0 ? 0 : max / 1_000 };
  }
}
