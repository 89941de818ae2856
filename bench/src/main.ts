// Runs the benchmark against servers that are there, and writes what it found. See tools/bench.mjs, which finds the servers.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { logs, root } from '@tandem/tools/folder.mjs';
import { listener } from '@tandem/tools/ports.mjs';
import { PARTS, readOptions, type Part, type Plan } from './bench-options.ts';
import { closedRound, LARGE_BODY, openRound, type Round, type ServerPids } from './loads.ts';
import { measureGrowth } from './measures/growth.ts';
import { measureLag } from './measures/lag.ts';
import { measureLog } from './measures/log.ts';
import { measureOverload } from './measures/overload.ts';
import { measurePayments } from './measures/payments.ts';
import { Processes } from './processes.ts';
import { machine, versions } from './report/machine.ts';
import { page } from './report/page.ts';
import { ratiosOf, type Results, type RowResult } from './report/results.ts';
import { writeReadme } from './report/readme.ts';
import { median, rounded } from './statistics.ts';
import { ROW_TITLES, Systems, type Row, type RowKey, type Servers } from './system.ts';

const { plan, parts, rows: wanted, results: resultsName, profile } = readOptions(process.argv.slice(2));
const [POSTGRES_URL, RABBITMQ_URL, KAFKA_BROKERS] = ['POSTGRES_URL', 'RABBITMQ_URL', 'KAFKA_BROKERS'].map((name) => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run npm run bench.`);
  return value;
}) as [string, string, string];
const servers: Servers = { POSTGRES_URL, RABBITMQ_URL, KAFKA_BROKERS };

const startedAt = performance.now();
const print = (line: string) =>
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(0).padStart(5)} s  ${line}`);
const number = (value: number) => Math.round(value).toLocaleString('en');

const logFolder = join(logs, 'bench');
mkdirSync(logFolder, { recursive: true });
const processes = new Processes(logFolder, profile);
const systems = new Systems(servers, process.env['NAMESPACE'] ?? 'bench', processes);
const interrupted = () => void processes.stopAll().then(() => process.exit(130));
process.once('SIGINT', interrupted);
process.once('SIGTERM', interrupted);

try {
  const results = await measure(plan, parts);
  // What a part of a run found is shown, never kept.
  const whole = parts.size === PARTS.length && wanted === undefined && plan.name !== 'smoke';
  const name = resultsName ?? (whole ? (plan.name === 'full' ? 'latest' : 'quick') : 'partial');
  const folder = join(root, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(folder, `${name}.html`), page(results));
  if (name === 'latest') writeReadme(join(root, 'README.md'), results);
  print(`bench/results/${name}.json and .html`);
  for (const [key, value] of Object.entries(results.ratios)) print(`${key.padEnd(26)} ${value}`);
} finally {
  await processes.stopAll();
}

async function measure(plan: Plan, parts: ReadonlySet<Part>): Promise<Results> {
  const pids = await serverPids();
  const results: Results = {
    date: new Date().toISOString(),
    plan: plan.name,
    machine: machine(),
    versions: await versions(systems),
    ratios: {},
    void: [],
    rows: {},
    seconds: 0,
  };
  const keys = (Object.keys(ROW_TITLES) as RowKey[]).filter((key) => wanted === undefined || wanted.includes(key));
  const rows: Row[] = [];
  const needed = ['rows', 'open', 'lag', 'instances', 'overload'].some((part) => parts.has(part as Part));
  if (needed) {
    print('starting every row');
    rows.push(...(await Promise.all(keys.map((key) => systems.row(key)))));
    await warm(rows, pids);
  }
  if (parts.has('rows')) await measureRows(rows, pids, results);
  if (parts.has('rows')) await measureLarge(rows, pids, results);
  if (parts.has('open')) await measureOpen(rows, pids, results);
  const full = rows.find(({ key }) => key === 'full');
  if (full !== undefined && parts.has('lag')) await lag(full, pids, results);
  if (full !== undefined && parts.has('overload') && plan.overloadSeconds !== undefined) {
    results.overload = await measureOverload(full, pids, plan.overloadSeconds);
    const { maximum, twice, connections, recoveryMs } = results.overload;
    print(`overload: at twice the maximum ${describe(twice)}, of a maximum of ${number(maximum.ordersPerSecond)}`);
    print(`overload: 2,000 connections ${describe(connections)}; well again after ${number(recoveryMs)} ms`);
    await systems.untilCounted('full');
  }
  if (full !== undefined && parts.has('instances')) await instances(full, pids, results);
  // What was measured so far is not to disturb what follows.
  await processes.stopAll();
  if (parts.has('partitions')) await partitions(pids, results);
  if (parts.has('payments') && plan.payments !== undefined)
    results.payments = await measurePayments(systems, plan.payments, print);
  if (parts.has('log')) results.log = await measureLog(systems, plan.logEvents, print);
  if (parts.has('growth') && plan.growthOrders !== undefined) {
    results.growthOrders = plan.growthOrders;
    results.growth = await measureGrowth(systems, pids, plan.growthOrders, plan.growthSeconds, print);
    for (const [operation, { fewP50, manyP50, ratio }] of Object.entries(results.growth))
      print(`growth: ${operation} p50 ${fewP50.toFixed(2)} → ${manyP50.toFixed(2)} ms, ratio ${ratio.toFixed(2)}`);
  }
  results.seconds = Math.round((performance.now() - startedAt) / 1_000);
  Object.assign(results, ratiosOf(results));
  return results;
}

/** The code of a framework is optimised after tens of thousands of requests, not after the second that precedes each round. */
async function warm(rows: Row[], pids: ServerPids): Promise<void> {
  if (plan.warmingSeconds === 0) return;
  const load = { connections: 50, warmupSeconds: 1, seconds: plan.warmingSeconds };
  for (const row of rows) print(`warming ${row.key.padEnd(10)} ${describe(await closedRound(row, pids, load))}`);
}

/** Rounds are interleaved, so that what slows the machine for a while slows every row. */
async function measureRows(rows: Row[], pids: ServerPids, results: Results): Promise<void> {
  for (let round = 1; round <= plan.rounds; round += 1)
    for (const connections of plan.connections)
      for (const row of rows) {
        const load = { connections, warmupSeconds: plan.warmupSeconds, seconds: plan.seconds };
        const measured = await closedRound(row, pids, load);
        refuseFailures(row, measured);
        const caughtUpMs = row.key === 'full' ? await systems.untilCounted('full') : 0;
        const kept = (results.rows[row.key] ??= { title: row.title, closed: {}, open: undefined }) as RowResult;
        (kept.closed[connections] ??= []).push({ ...measured, caughtUpMs });
        print(
          `round ${round}, ${String(connections).padStart(3)} connections, ${row.key.padEnd(10)} ${describe(measured)}`,
        );
      }
}

/** One connection with orders that are large enough for Nagle's algorithm to matter. */
async function measureLarge(rows: Row[], pids: ServerPids, results: Results): Promise<void> {
  const load = { connections: 1, warmupSeconds: 1, seconds: Math.min(2, plan.seconds), body: LARGE_BODY };
  for (let round = 1; round <= plan.rounds; round += 1)
    for (const row of rows.filter(({ key }) => key === 'stockNagle' || key === 'full')) {
      const measured = await closedRound(row, pids, load);
      refuseFailures(row, measured);
      const kept = (results.rows[row.key] ??= { title: row.title, closed: {}, open: undefined }) as RowResult;
      (kept.large ??= []).push(measured);
      print(`round ${round},   1 connection, 50 lines, ${row.key.padEnd(10)} ${describe(measured)}`);
    }
}

/** A rate is a rate of orders placed: a row that refuses or breaks off some has none. */
function refuseFailures({ key }: Row, { statuses, errors, latency }: Round): void {
  const refused = Object.keys(statuses).some((status) => Number(status) >= 300);
  if (refused || errors > 0 || latency.count === 0)
    throw new Error(`${key} answered ${JSON.stringify(statuses)}, with ${errors} errors`);
}

/** At one set rate for all rows, which each of them can take. */
async function measureOpen(rows: Row[], pids: ServerPids, results: Results): Promise<void> {
  for (const row of rows) {
    const kept = (results.rows[row.key] ??= { title: row.title, closed: {}, open: undefined }) as RowResult;
    const load = { rate: 1_000, connections: 100, warmupSeconds: plan.warmupSeconds, seconds: plan.openSeconds };
    kept.open = { ...(await openRound(row, pids, load)), rate: load.rate };
    print(`open loop, 1,000/s, ${row.key.padEnd(10)} ${describe(kept.open)}`);
  }
}

async function lag(full: Row, pids: ServerPids, results: Results): Promise<void> {
  const measured = results.rows.full?.closed[200] ?? [];
  const maximum =
    measured.length > 0
      ? median(measured.map(({ ordersPerSecond }) => ordersPerSecond))
      : (await closedRound(full, pids, { connections: 200, warmupSeconds: 1, seconds: 2 })).ordersPerSecond;
  await systems.untilCounted('full');
  const rate = Math.round(maximum / 2);
  const load = { rate, warmupSeconds: plan.warmupSeconds, seconds: plan.openSeconds };
  const { lag, round } = await measureLag(systems, full, pids, load);
  results.lag = { rate, lag, round };
  print(
    `accepted to counted at ${number(rate)}/s: p50 ${rounded(lag.p50)} ms, p99 ${rounded(lag.p99)} ms; ${describe(round)}`,
  );
}

/** One more instance of orders after the other, on the same machine. */
async function instances(full: Row, pids: ServerPids, results: Results): Promise<void> {
  let running = 1;
  const added: Row['processes'] = [];
  for (const count of plan.instances) {
    for (; running < count; running += 1) {
      const { running: one } = await systems.service('full', 'orders');
      added.push(one);
    }
    const row = { ...full, processes: [...full.processes, ...added] };
    const measured = await closedRound(row, pids, { connections: 200, warmupSeconds: 1, seconds: plan.seconds });
    await systems.untilCounted('full');
    (results.instances ??= {})[count] = measured.ordersPerSecond;
    print(`${count} instances of orders: ${describe(measured)}`);
  }
}

/** One system after the other, each with a log of another number of partitions. */
async function partitions(pids: ServerPids, results: Results): Promise<void> {
  for (const count of plan.partitions) {
    const suffix = `p${count}`;
    const system = await systems.tandem(suffix, { counted: true }, { EVENTS_PARTITIONS: String(count) });
    const row: Row = { key: 'full', title: suffix, ...system };
    await warm([row], pids);
    const measured = await closedRound(row, pids, { connections: 200, warmupSeconds: 1, seconds: plan.seconds });
    await systems.untilCounted(suffix);
    (results.partitions ??= {})[count] = measured.ordersPerSecond;
    print(`${count} partitions: ${describe(measured)}`);
    for (const process of system.processes) await process.stop();
  }
}

async function serverPids(): Promise<ServerPids> {
  const ports = {
    postgres: new URL(POSTGRES_URL).port || '5432',
    rabbitmq: new URL(RABBITMQ_URL).port || '5672',
    kafka: KAFKA_BROKERS.split(',')[0]?.split(':')[1] ?? '9092',
  };
  const pids: ServerPids = {};
  for (const [name, port] of Object.entries(ports)) {
    const found = await listener(Number(port));
    if (found !== undefined) pids[name] = found.pid;
    else print(`no process found for ${name}: its CPU counts as others`);
  }
  return pids;
}

function describe({
  ordersPerSecond,
  latency,
  statuses,
  errors,
  late,
  refused,
  generatorCores,
  cpuPer1000,
}: Round): string {
  const bad = Object.entries(statuses).filter(([status]) => Number(status) >= 300);
  const others = ((cpuPer1000['others'] ?? 0) * ordersPerSecond) / 1_000;
  return [
    `${number(ordersPerSecond).padStart(7)}/s p50 ${rounded(latency.p50)} ms p99 ${rounded(latency.p99)} ms`,
    ...bad.map(([status, count]) => `${number(count)} × ${status}`),
    ...(refused !== undefined && refused.count > 0 ? [`refused p99 ${rounded(refused.p99)} ms`] : []),
    ...(errors > 0 ? [`${errors} errors`] : []),
    ...(late > 0 ? [`${number(late)} never sent`] : []),
    `load ${generatorCores.toFixed(2)} cores, others ${others.toFixed(2)}`,
  ].join(', ');
}
