import type { LatencySummary } from '../load/latencies.ts';
import type { Round } from '../loads.ts';
import type { Growth } from '../measures/growth.ts';
import type { LogRates } from '../measures/log.ts';
import type { Overload } from '../measures/overload.ts';
import type { PaymentsResult } from '../measures/payments.ts';
import { median, medianRatio, rounded } from '../statistics.ts';
import type { RowKey } from '../system.ts';

export interface RowResult {
  title: string;
  /** Rounds of closed loops, by connections. `caughtUpMs` is how long analytics needed after the load to count it all. */
  closed: Record<number, (Round & { caughtUpMs: number })[]>;
  open: (Round & { rate: number }) | undefined;
  /** Rounds of one connection with an order of 50 lines, of the two rows that are compared by it. */
  large?: Round[];
}

/** What a run found. */
export interface Results {
  date: string;
  plan: string;
  seconds: number;
  machine: { cores: number; cpu: string; memoryGiB: number; platform: string };
  versions: Record<string, string>;
  /** By key, see `BARS`. */
  ratios: Record<string, number>;
  /** Rows in which the generator of load was the limit, as `row@connections`. */
  void: string[];
  rows: Partial<Record<RowKey, RowResult>>;
  lag?: { rate: number; lag: LatencySummary; round: Round };
  log?: LogRates;
  growth?: Growth;
  /** How many orders were stored for `growth`. */
  growthOrders?: { few: number; many: number };
  overload?: Overload;
  instances?: Record<number, number>;
  partitions?: Record<number, number>;
  /** By how many workers there were. */
  payments?: PaymentsResult[];
}

/** What is promised, and what is aimed at. */
export const BARS: Record<string, { what: string; bar: number; aim: number; most?: true }> = {
  full_over_stock: {
    what: 'relay, Kafka and analytics running ÷ stock, orders/s, 200 connections',
    bar: 1.5,
    aim: 2.5,
  },
  full_over_usual: { what: 'the same ÷ usual, orders/s, 200 connections', bar: 3, aim: 5 },
  core_over_limit: { what: 'relay and analytics stopped ÷ limit, orders/s, 200 connections', bar: 0.6, aim: 0.8 },
  core_cpu_over_stock: {
    what: 'CPU of an order, relay and analytics stopped ÷ of an empty call through stock, 200 connections',
    bar: 1,
    aim: 0.7,
    most: true,
  },
  p50_one_over_stock_nagle: {
    what: 'p50 of one connection, orders of 50 lines ÷ stock without noDelay, which then waits 40 ms for an acknowledgement',
    bar: 0.15,
    aim: 0.08,
    most: true,
  },
  relay_over_raw: { what: 'relay events/s ÷ raw kafkajs idempotent producer, same records', bar: 0.5, aim: 0.8 },
  replay_over_raw: { what: 'replay events/s ÷ raw kafkajs eachBatch', bar: 0.12, aim: 0.3 },
  replay_events_per_second: {
    what: 'events/s that one instance counts from the beginning of the log into empty projections',
    bar: 40_000,
    aim: 100_000,
  },
  lag_p99_ms: { what: 'accepted to counted at half of the maximum, p99 in ms', bar: 500, aim: 150, most: true },
  growth: {
    what: 'largest p50 ratio of placing, reading, listing: many stored orders ÷ few',
    bar: 1.3,
    aim: 1.1,
    most: true,
  },
};

/** A generator busier than this with its one core is what limits. */
const GENERATOR_CORES_MAX = 0.9;

/** The ratios of a run, as far as what they need was measured, and the rows that are void. */
export function ratiosOf(results: Results): Pick<Results, 'ratios' | 'void'> {
  const { rows, lag, log, growth } = results;
  const rounds = (key: RowKey, connections: number) => rows[key]?.closed[connections] ?? [];
  const rates = (key: RowKey) => rounds(key, 200).map(({ ordersPerSecond }) => ordersPerSecond);
  const cpu = (key: RowKey) => rounds(key, 200).map(cpuMsPerOrder);
  const p50s = (key: RowKey) => rounds(key, 1).map(({ latency }) => latency.p50);
  const largeP50s = (key: RowKey) => (rows[key]?.large ?? []).map(({ latency }) => latency.p50);
  const all: Record<string, number> = {
    full_over_stock: medianRatio(rates('full'), rates('stock')),
    full_over_usual: medianRatio(rates('full'), rates('usual')),
    core_over_limit: medianRatio(rates('core'), rates('limit')),
    core_cpu_over_stock: medianRatio(cpu('core'), cpu('stock')),
    p50_one_over_stock_nagle: medianRatio(largeP50s('full'), largeP50s('stockNagle')),
    p50_one_small_over_stock: medianRatio(p50s('full'), p50s('stock')),
    relay_over_raw: log === undefined ? NaN : log.relay / log.rawProducer,
    replay_over_raw: log === undefined ? NaN : log.replay / log.rawConsumer,
    replay_events_per_second: log?.replay ?? NaN,
    lag_p99_ms: lag?.lag.p99 ?? NaN,
    // The bar is for 5,000,000: what fewer show is kept under `growth` of the results, and proves nothing.
    growth:
      growth === undefined || (results.growthOrders?.many ?? 0) < 5_000_000
        ? NaN
        : Math.max(...Object.values(growth).map(({ ratio }) => ratio)),
  };
  const known = Object.entries(all).filter(([, value]) => Number.isFinite(value));
  const empty = Object.entries(rows).flatMap(([key, row]) =>
    Object.entries(row.closed)
      .filter(([, measured]) => measured.some(({ generatorCores }) => generatorCores > GENERATOR_CORES_MAX))
      .map(([connections]) => `${key}@${connections}`),
  );
  return { ratios: Object.fromEntries(known.map(([key, value]) => [key, rounded(value)])), void: empty };
}

/** What servers and services take for one order, in milliseconds of CPU: neither the load itself nor what else ran. */
export function cpuMsPerOrder({ cpuPer1000: { load: _load, others: _others, ...ours } }: Round): number {
  return Object.values(ours).reduce((sum, seconds) => sum + seconds, 0);
}

/** Cores that were busy with what belongs to no row: what else ran on the machine while it was measured. */
export function othersCores({ rows }: Results): number {
  const rounds = Object.values(rows).flatMap((row) => Object.values(row.closed).flat());
  return median(
    rounds.map(({ cpuPer1000, ordersPerSecond }) => ((cpuPer1000['others'] ?? 0) * ordersPerSecond) / 1_000),
  );
}
