import { runLoad, request } from './load/load.ts';
import type { LatencySummary } from './load/latencies.ts';
import type { Row } from './system.ts';
import { LARGE_ORDER, ORDER } from './rows/body.ts';
import { machineCpuSeconds, usageOf } from './usage.ts';

/** One round of a load on one row. */
export interface Round {
  ordersPerSecond: number;
  latency: LatencySummary;
  statuses: Record<string, number>;
  errors: number;
  late: number;
  refused: LatencySummary | undefined;
  /** CPU seconds per 1,000 orders, by process. `others` is all else on the machine. */
  cpuPer1000: Record<string, number>;
  residentMiB: Record<string, number>;
  /** Cores that the generator of load was busy with; a row above 0.9 is void. */
  generatorCores: number;
}

export const BODY = JSON.stringify(ORDER);
export const LARGE_BODY = JSON.stringify(LARGE_ORDER);

/** The processes of the servers, by name; a server in a container has none that can be found. */
export type ServerPids = Record<string, number>;

/** Places orders as fast as the answers come, over as many connections. */
export function closedRound(
  row: Row,
  servers: ServerPids,
  load: { connections: number; warmupSeconds: number; seconds: number; body?: string },
): Promise<Round> {
  return measured(row, servers, (onMeasuring) =>
    runLoad('closed', { body: BODY, ...load, url: `${row.url}/v1/orders` }, onMeasuring),
  );
}

/** Sends requests at a set rate. */
export function openRound(
  row: Row,
  servers: ServerPids,
  load: { rate: number; connections: number; warmupSeconds: number; seconds: number; requests?: string[] },
): Promise<Round> {
  const { hostname: host, port } = new URL(row.url);
  const requests = load.requests ?? [request('POST', '/v1/orders', BODY)];
  return measured(row, servers, (onMeasuring) =>
    runLoad('open', { ...load, host, port: Number(port), requests }, onMeasuring),
  );
}

async function measured(
  row: Row,
  servers: ServerPids,
  run: (onMeasuring: () => void) => ReturnType<typeof runLoad>,
): Promise<Round> {
  const pids: Record<string, number> = { ...servers };
  for (const { name, pid } of row.processes) pids[name.slice(row.key.length + 1)] = pid;
  const snapshot = () => ({
    at: performance.now(),
    machine: machineCpuSeconds(),
    usages: Object.entries(pids).map(([name, pid]) => ({ name, ...usageOf(pid) })),
  });
  let before: ReturnType<typeof snapshot> | undefined;
  const result = await run(() => (before = snapshot()));
  const after = snapshot();
  if (before === undefined) throw new Error('A load ended before it had begun.');
  const accepted = result.accepted.count;
  const seconds = (after.at - before.at) / 1_000;
  const cpu: Record<string, number> = {};
  const residentMiB: Record<string, number> = {};
  after.usages.forEach(({ name, cpuSeconds, residentMiB: resident }, index) => {
    cpu[name] = Math.max(0, cpuSeconds - (before?.usages[index]?.cpuSeconds ?? 0));
    residentMiB[name] = Math.round(resident);
  });
  cpu['load'] = result.generatorCpuSeconds;
  const known = Object.values(cpu).reduce((sum, value) => sum + value, 0);
  cpu['others'] = Math.max(0, after.machine - before.machine - known);
  const per1000 = Object.entries(cpu).map(([name, value]) => [name, (value / Math.max(1, accepted)) * 1_000]);
  return {
    ordersPerSecond: accepted / result.seconds,
    latency: result.accepted,
    statuses: result.statuses,
    errors: result.errors,
    late: result.late,
    refused: result.refused,
    cpuPer1000: Object.fromEntries(per1000) as Record<string, number>,
    residentMiB,
    generatorCores: result.generatorCpuSeconds / seconds,
  };
}
