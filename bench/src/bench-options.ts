import { parseArgs } from 'node:util';

/** How long and how much a run measures. */
export interface Plan {
  name: 'full' | 'quick' | 'smoke';
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
}

const FULL: Plan = {
  name: 'full',
  rounds: 3,
  warmupSeconds: 1,
  seconds: 4,
  connections: [1, 50, 200],
  openSeconds: 6,
  logEvents: 300_000,
  growthOrders: { few: 10_000, many: 5_000_000 },
  growthSeconds: 4,
  overloadSeconds: 8,
  instances: [1, 2, 3],
};
const QUICK: Plan = {
  ...FULL,
  name: 'quick',
  rounds: 1,
  seconds: 2,
  openSeconds: 3,
  logEvents: 60_000,
  growthOrders: { few: 10_000, many: 100_000 },
  growthSeconds: 1,
  overloadSeconds: 4,
  instances: [],
};
const SMOKE: Plan = {
  ...FULL,
  name: 'smoke',
  rounds: 1,
  warmupSeconds: 1,
  seconds: 1,
  connections: [10],
  openSeconds: 1,
  logEvents: 2_000,
  growthOrders: undefined,
  growthSeconds: 1,
  overloadSeconds: undefined,
  instances: [],
};

/** The parts of a run, which `--only=rows,relay` chooses among. */
export const PARTS = ['rows', 'open', 'lag', 'instances', 'overload', 'log', 'growth'] as const;
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
 * Reads `--quick`, `--smoke`, `--only=…`, `--rows=…`, `--rounds=…`, `--connections=…`, `--results=…` and `--profile=…`.
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
      results: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const all: readonly Part[] = values.smoke ? ['rows', 'lag', 'log'] : PARTS;
  const parts = (values.only?.split(',') ?? [...all]) as Part[];
  const unknown = parts.filter((part) => !PARTS.includes(part));
  if (unknown.length > 0) throw new Error(`--only takes ${PARTS.join(', ')}; not ${unknown.join(', ')}`);
  const named = values.smoke ? SMOKE : values.quick ? QUICK : FULL;
  const rounds = values.rounds === undefined ? named.rounds : count('--rounds', values.rounds);
  const connections = values.connections?.split(',').map((text) => count('--connections', text)) ?? named.connections;
  const plan: Plan = { ...named, rounds, connections };
  const { results, profile } = values;
  return { plan, parts: new Set(parts), rows: values.rows?.split(','), results, profile };
}

function count(option: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new Error(`${option} takes whole numbers from 1; not ${text}`);
}
