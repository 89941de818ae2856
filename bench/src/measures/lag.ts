import pg from 'pg';
import { openRound, type Round, type ServerPids } from '../loads.ts';
import { Latencies, type LatencySummary } from '../load/latencies.ts';
import type { Row, Systems } from '../system.ts';

const POLL_MS = 10;

/**
 * How long after its order was decided an event is counted, at a set rate: the marks of analytics are looked up again and
 * again, and each event's own time is compared with the moment at which its partition's mark was first seen past it. Both
 * are clocks of one machine. What the look-up itself takes is part of the figure.
 */
export async function measureLag(
  systems: Systems,
  row: Row,
  servers: ServerPids,
  load: { rate: number; warmupSeconds: number; seconds: number },
): Promise<{ lag: LatencySummary; round: Round }> {
  const orders = new pg.Client({ connectionString: systems.database('full') });
  const analytics = new pg.Client({ connectionString: systems.database('full', 'analytics') });
  await Promise.all([orders.connect(), analytics.connect()]);
  const { topics } = systems.names('full');
  const seen: { at: number; partition: number; mark: bigint }[] = [];
  let looking = true;
  try {
    const [{ from = '0' } = {}] = await systems.query<{ from: string }>(
      systems.database('full'),
      'select coalesce(max(position), 0)::text as from from events',
    );
    const watching = (async () => {
      const last = new Map<number, bigint>();
      // Once more when all is counted.
      for (let isLast = false; !isLast;) {
        isLast = !looking;
        const { rows } = await analytics.query<{ partition: number; mark: string }>({
          name: 'marks',
          text: 'select partition, mark::text from consumer_offsets where topic = $1',
          values: [topics.orderEvents],
        });
        const at = Date.now();
        for (const { partition, mark } of rows) {
          if (last.get(partition) === BigInt(mark)) continue;
          last.set(partition, BigInt(mark));
          seen.push({ at, partition, mark: BigInt(mark) });
        }
        if (!isLast) await new Promise((resume) => setTimeout(resume, POLL_MS));
      }
    })();
    const round = await openRound(row, servers, { ...load, connections: 300 });
    await systems.untilCounted('full');
    looking = false;
    await watching;
    return { lag: await compare(systems, orders, seen, from), round };
  } finally {
    looking = false;
    await Promise.all([orders.end(), analytics.end()]);
  }
}

async function compare(
  systems: Systems,
  orders: pg.Client,
  seen: { at: number; partition: number; mark: bigint }[],
  from: string,
): Promise<LatencySummary> {
  const { partitionOf } = await import('./log-records.ts');
  const { rows } = await orders.query<{ position: string; order_id: string; at: Date }>(
    'select position::text, order_id, at from events where position > $1 order by position',
    [from],
  );
  const latencies = new Latencies();
  const cursors = new Map<number, { steps: typeof seen; next: number }>();
  for (const step of seen) {
    const cursor = cursors.get(step.partition) ?? { steps: [], next: 0 };
    cursor.steps.push(step);
    cursors.set(step.partition, cursor);
  }
  for (const { position, order_id, at } of rows) {
    const cursor = cursors.get(partitionOf(order_id));
    while (cursor !== undefined && (cursor.steps[cursor.next]?.mark ?? 0n) < BigInt(position)) {
      if (cursor.next >= cursor.steps.length) throw new Error(`Position ${position} was never seen counted.`);
      cursor.next += 1;
    }
    const step = cursor?.steps[cursor.next];
    if (step === undefined) throw new Error(`Position ${position} was never seen counted.`);
    latencies.add(Math.max(0, step.at - at.getTime()));
  }
  return latencies.summary();
}
