import { parseArgs } from 'node:util';

/** How long and how much a run measures. */
export interface Plan {
  name: 'full' | 'quick' | 'smoke';
  /** How long each row is under load before anything is measured: until the compiler has seen what it will optimise. */
  warmingSeconds: number;
  rounds: number;
  warmupSeconds: number;
  seconds: number;
  connections: number[];
  openSeconds: number;
  /** Events in the comparisons with raw kafkajs. */
  logEvents: number;
  /** Orders stored for `growth`: few and many; undefined skips it. */
  growthOrders: { few: number; many: number } | undefined;
  growthSeconds: number;
  overloadSeconds: number | undefined;
  instances: number[];
  /** Numbers of partitions of the log, each tried with a system of its own; the rows have six. */
  partitions: number[];
  payments: PaymentsPlan | undefined;
}

/** Payments by numbers of workers: a backlog of standard orders, and express ones that are placed while it stands. */
export interface PaymentsPlan {
  workers: number[];
  backlog: number;
  express: number;
  /** Jobs of one queue that a worker has under way; its own default unless set. */
  prefetch?: number;
}

const FULL: Plan = {
  name: 'full',
  warmingSeconds: 6,
  rounds: 3,
  warmupSeconds: 1,
  seconds: 3,
  connections: [1, 50, 200],
  openSeconds: 4,
  logEvents: 1_000_000,
  growthOrders: { few: 10_000, many: 5_000_000 },
  growthSeconds: 2,
  overloadSeconds: 8,
  instances: [1, 2, 3],
  partitions: [1, 24],
  payments: { workers: [1, 2, 4], backlog: 3_000, express: 100 },
};
const QUICK: Plan = {
  ...FULL,
  name: 'quick',
  warmingSeconds: 3,
  rounds: 1,
  seconds: 2,
  openSeconds: 3,
  logEvents: 60_000,
  growthOrders: { few: 10_000, many: 100_000 },
  growthSeconds: 1,
  overloadSeconds: 4,
  instances: [],
  partitions: [],
  payments: undefined,
};
const SMOKE: Plan = {
  ...FULL,
  name: 'smoke',
  warmingSeconds: 0,
  rounds: 1,
  warmupSeconds: 1,
  seconds: 2,
  connections: [10],
  openSeconds: 1,
  logEvents: 10_000,
  growthOrders: undefined,
  growthSeconds: 1,
  overloadSeconds: undefined,
  instances: [],
  partitions: [],
  payments: { workers: [2], backlog: 40, express: 4 },
};

/** The parts of a run, which `--only=rows,relay` chooses among. */
export const PARTS = [
  'rows',
  'open',
  'lag',
  'instances',
  'partitions',
  'overload',
  'payments',
  'log',
  'growth',
] as const;
export type Part = (typeof PARTS)[number];

/** What the command line asks for. `results` and `profile` are a name and a folder. */
export interface BenchOptions {
  plan: Plan;
  parts: Set<Part>;
  rows: string[] | undefined;
  results: string | undefined;
  profile: string | undefined;
}

/**
 * Reads `--quick`, `--smoke`, `--only=…`, `--rows=…`, `--rounds=…`, `--connections=…`, `--prefetch=…`, `--results=…` and `--profile=…`.
 *
 * @throws Error naming what is wrong.
 */
export function readOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean' },
      smoke: { type: 'boolean' },
      only: { type: 'string' },
      rows: { type: 'string' },
      rounds: { type: 'string' },
      connections: { type: 'string' },
      prefetch: { type: 'string' },
      results: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const all: readonly Part[] = values.smoke ? ['rows', 'lag', 'payments', 'log'] : PARTS;
  const parts = (values.only?.split(',') ?? [...all]) as Part[];
  const unknown = parts.filter((part) => !PARTS.includes(part));
  if (unknown.length > 0) throw new Error(`--only takes ${PARTS.join(', ')}; not ${unknown.join(', ')}`);
  const named = values.smoke ? SMOKE : values.quick ? QUICK : FULL;
  const rounds = values.rounds === undefined ? named.rounds : count('--rounds', values.rounds);
  const connections = values.connections?.split(',').map((text) => count('--connections', text)) ?? named.connections;
  const prefetch = values.prefetch === undefined ? {} : { prefetch: count('--prefetch', values.prefetch) };
  const payments = named.payments && { ...named.payments, ...prefetch };
  const plan: Plan = { ...named, rounds, connections, payments };
  const { results, profile } = values;
  return { plan, parts: new Set(parts), rows: values.rows?.split(','), results, profile };
}

function count(option: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new Error(`${option} takes whole numbers from 1; not ${text}`);
}
