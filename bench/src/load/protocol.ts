import type { LatencySummary } from './latencies.ts';

/** What a generator of load is told, as its first message. */
export interface ClosedLoad {
  url: string;
  body: string;
  connections: number;
  warmupSeconds: number;
  seconds: number;
}

export interface OpenLoad {
  host: string;
  port: number;
  /** Whole requests, sent in turn. */
  requests: string[];
  /** Requests a second. */
  rate: number;
  connections: number;
  warmupSeconds: number;
  seconds: number;
}

/** What it answers. Latencies of the accepted are of answers below 300, of the refused those of 503. */
export interface LoadResult {
  seconds: number;
  statuses: Record<string, number>;
  errors: number;
  /** Requests that were due and never sent, because every connection waited. */
  late: number;
  accepted: LatencySummary;
  refused: LatencySummary | undefined;
}

/** With the CPU that the generator itself took in the measured part. */
export interface Answer extends LoadResult {
  generatorCpuSeconds: number;
}

/** Takes one load from the parent, runs it, answers, and ends. */
export async function answer<Load>(run: (load: Load, measuring: () => void) => Promise<LoadResult>): Promise<void> {
  const load = await new Promise<Load>((resolve) => process.once('message', (message) => resolve(message as Load)));
  let before = process.cpuUsage();
  const result = await run(load, () => {
    before = process.cpuUsage();
    process.send?.('measuring');
  });
  const { user, system } = process.cpuUsage(before);
  const answer: Answer = { ...result, generatorCpuSeconds: (user + system) / 1_000_000 };
  process.send?.(answer, () => process.exit(0));
}
