import { request } from '../load/load.ts';
import { BODY, openRound, type ServerPids } from '../loads.ts';
import { median, medianRatio } from '../statistics.ts';
import type { Row, Systems } from '../system.ts';
import { checkpointAtHead, fillOrders } from './fixture.ts';

/** Requests a second, far below what either can take: growth is about the work of one request, not about queues. */
const RATE = 200;
const ROUNDS = 3;
const SAMPLE = 2_000;

export const OPERATIONS = ['placing', 'reading', 'listing'] as const;
export type Operation = (typeof OPERATIONS)[number];
export type Growth = Record<Operation, { fewP50: number; manyP50: number; ratio: number }>;

/** The p50 of placing, reading and listing with many orders stored against few, in turns. */
export async function measureGrowth(
  systems: Systems,
  servers: ServerPids,
  orders: { few: number; many: number },
  seconds: number,
  print: (line: string) => void,
): Promise<Growth> {
  const prepared = [];
  for (const [suffix, count] of [
    ['few', orders.few],
    ['many', orders.many],
  ] as const) {
    const startedAt = performance.now();
    await systems.setUp(suffix);
    await fillOrders(systems, suffix, count, print);
    await checkpointAtHead(systems, suffix);
    print(`${count.toLocaleString('en')} orders stored in ${Math.round((performance.now() - startedAt) / 1_000)} s`);
    const started = [await systems.service(suffix, 'orders'), await systems.service(suffix, 'gateway')];
    const row: Row = {
      key: 'full',
      title: suffix,
      url: started[1]?.url ?? '',
      processes: started.map(({ running }) => running),
    };
    prepared.push({ suffix, row, requests: await requestsOf(systems, suffix) });
  }
  await systems.query(systems.servers.POSTGRES_URL, 'checkpoint');
  const p50s = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round += 1)
    for (const operation of OPERATIONS)
      for (const { suffix, row, requests } of prepared) {
        const load = { rate: RATE, connections: 50, warmupSeconds: 1, seconds, requests: requests[operation] };
        const { latency, statuses } = await openRound(row, servers, load);
        if (Object.keys(statuses).some((status) => Number(status) >= 300))
          throw new Error(`${operation} was answered ${JSON.stringify(statuses)}`);
        const key = `${operation} ${suffix}`;
        p50s.set(key, [...(p50s.get(key) ?? []), latency.p50]);
      }
  for (const { row } of prepared) await Promise.all(row.processes.map((process) => process.stop()));
  const growthOf = (operation: Operation) => {
    const [few, many] = [p50s.get(`${operation} few`) ?? [], p50s.get(`${operation} many`) ?? []];
    return [operation, { fewP50: median(few), manyP50: median(many), ratio: medianRatio(many, few) }] as const;
  };
  return Object.fromEntries(OPERATIONS.map(growthOf)) as Growth;
}

/** Orders and customers from all over the tables, so that what is asked for is not always in a cache. */
async function requestsOf(systems: Systems, suffix: string): Promise<Record<Operation, string[]>> {
  const rows = await systems.query<{ id: string; customer_id: string }>(
    systems.database(suffix),
    // As a bigint, and made before the join: compared with any other number the index of positions would not be used.
    `with wanted as materialized (
       select (1 + floor(random() * newest))::bigint as start
         from generate_series(1, ${SAMPLE}), (select max(position) as newest from events) as log)
     select o.id, o.customer_id from wanted
       cross join lateral (
         select order_id from events where position >= wanted.start order by position limit 1) as e
       join orders o on o.id = e.order_id`,
  );
  return {
    placing: [request('POST', '/v1/orders', BODY)],
    reading: rows.map(({ id }) => request('GET', `/v1/orders/${id}`)),
    listing: rows.map(({ customer_id }) => request('GET', `/v1/orders?customer=${customer_id}&limit=20`)),
  };
}
