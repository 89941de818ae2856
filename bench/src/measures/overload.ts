import { openRound, closedRound, type Round, type ServerPids } from '../loads.ts';
import type { Row } from '../system.ts';

export interface Overload {
  maximum: Round;
  /** Twice the maximum, whatever is answered. */
  twice: Round;
  /** 2,000 connections, each sending as soon as it is answered. */
  connections: Round;
  /** Milliseconds after the end of the load until the first of ten answers in a row below 100 ms. */
  recoveryMs: number;
  gatewayMiB: { before: number; twice: number; connections: number };
}

/** What happens past the maximum: goodput, refusals, memory, and the time to be well again. */
export async function measureOverload(row: Row, servers: ServerPids, seconds: number): Promise<Overload> {
  const load = { warmupSeconds: 1, seconds };
  const maximum = await closedRound(row, servers, { ...load, connections: 200 });
  const rate = Math.round(2 * maximum.ordersPerSecond);
  const twice = await openRound(row, servers, { ...load, rate, connections: 4_000 });
  const recoveryMs = await recovery(row.url);
  const connections = await closedRound(row, servers, { ...load, connections: 2_000 });
  const memory = (round: Round) => round.residentMiB['gateway'] ?? 0;
  const gatewayMiB = { before: memory(maximum), twice: memory(twice), connections: memory(connections) };
  return { maximum, twice, connections, recoveryMs, gatewayMiB };
}

async function recovery(url: string): Promise<number> {
  const startedAt = performance.now();
  let since = startedAt;
  for (let quick = 0; quick < 10 && performance.now() - startedAt < 30_000;) {
    const sentAt = performance.now();
    const response = await fetch(`${url}/v1/orders?limit=1`);
    await response.text();
    const isQuick = response.ok && performance.now() - sentAt < 100;
    if (isQuick && quick === 0) since = sentAt;
    quick = isQuick ? quick + 1 : 0;
  }
  return since - startedAt;
}
