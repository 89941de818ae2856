import type { Round } from '../loads.ts';
import { median, rounded } from '../statistics.ts';
import type { RowKey } from '../system.ts';
import { BARS, cpuMsPerOrder, type Results } from './results.ts';

/** One line of the table of rows: the medians of its rounds. */
export interface RowLine {
  key: RowKey;
  title: string;
  /** By connections. */
  at: { connections: number; ordersPerSecond: number; p50: number; p99: number; isVoid: boolean }[];
  open: { rate: number; p50: number; p99: number } | undefined;
  /** At the most connections: CPU of servers and services for one order. */
  cpuMs: number;
  /** The same by process, in seconds per 1,000 orders, and resident memory. */
  cpuPer1000: Record<string, number>;
  residentMiB: Record<string, number>;
}

export function rowLines(results: Results): RowLine[] {
  return (Object.entries(results.rows) as [RowKey, NonNullable<Results['rows'][RowKey]>][]).map(([key, row]) => {
    const at = Object.entries(row.closed).map(([connections, rounds]) => ({
      connections: Number(connections),
      ordersPerSecond: middle(rounds, (round) => round.ordersPerSecond),
      p50: middle(rounds, (round) => round.latency.p50),
      p99: middle(rounds, (round) => round.latency.p99),
      isVoid: results.void.includes(`${key}@${connections}`),
    }));
    const busiest = row.closed[Math.max(...Object.keys(row.closed).map(Number))] ?? [];
    const { open } = row;
    return {
      key,
      title: row.title,
      at,
      open: open && { rate: open.rate, p50: open.latency.p50, p99: open.latency.p99 },
      cpuMs: middle(busiest, cpuMsPerOrder),
      cpuPer1000: byName(busiest, (round) => round.cpuPer1000),
      residentMiB: byName(busiest, (round) => round.residentMiB),
    };
  });
}

export interface RatioLine {
  key: string;
  what: string;
  value: number;
  bar: string;
  aim: string;
  holds: boolean;
}

export function ratioLines({ ratios }: Results): RatioLine[] {
  return Object.entries(BARS).flatMap(([key, { what, bar, aim, most }]) => {
    const value = ratios[key];
    if (value === undefined) return [];
    const sign = most === true ? '≤' : '≥';
    const holds = most === true ? value <= bar : value >= bar;
    return [{ key, what, value, bar: `${sign} ${bar}`, aim: `${sign} ${aim}`, holds }];
  });
}

/** Whole numbers with separators, smaller ones with three digits. */
export function shown(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(rounded(value));
}

const middle = (rounds: readonly Round[], of: (round: Round) => number) => rounded(median(rounds.map(of)));

function byName(rounds: readonly Round[], of: (round: Round) => Record<string, number>): Record<string, number> {
  const names = Object.keys(rounds[0] === undefined ? {} : of(rounds[0]));
  return Object.fromEntries(names.map((name) => [name, middle(rounds, (round) => of(round)[name] ?? 0)]));
}
