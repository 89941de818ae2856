import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { inspect, isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { NODE_OPTIONS, until, type Environment } from '../processes.ts';
import { shown } from '../report/table.ts';
import type { Systems } from '../system.ts';
import { fillHistories } from './fixture.ts';

/** Records that raw kafkajs produces: a rate needs no more, and they are made beforehand, in memory. */
const RAW_RECORDS_MAX = 200_000;

/** Of a million events on a machine that others use, too. */
const TIMEOUT_MS = 300_000;

export interface LogRates {
  /** In the log that was relayed, read and counted. */
  events: number;
  relay: number;
  rawProducer: number;
  replay: number;
  rawConsumer: number;
}

/**
 * Events a second of the relay against raw kafkajs producing the first of the same records, and of analytics counting the log
 * from its beginning into empty projections against raw kafkajs that only counts records. The log holds whole lives of orders.
 * The first tenth of each is warm-up.
 *
 * @param print told of each figure as it comes, and how far each has come.
 */
export async function measureLog(systems: Systems, events: number, print: (line: string) => void): Promise<LogRates> {
  const suffix = 'log';
  await systems.setUp(suffix);
  await fillHistories(systems, suffix, events);
  print(`the log: ${shown(events)} events are stored`);
  const { topics } = systems.names(suffix);
  const rawTopic = `${topics.orderEvents}.raw`;
  const admin = systems.kafka().admin();
  await admin.connect();
  try {
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic: rawTopic, numPartitions: 6 }] });
    const rawEvents = Math.min(events, RAW_RECORDS_MAX);
    const rawProducer = await rate('raw-producer', {
      ...systems.servers,
      DATABASE_URL: systems.database(suffix),
      EVENTS: String(rawEvents),
      TOPIC: rawTopic,
    });
    print(`raw kafkajs produces ${shown(rawProducer)} records/s`);
    const orders = await systems.service(suffix, 'orders');
    const relay = await rateBetween('relayed', systems.database(suffix), print, {
      text: 'select position::text as done from followers',
      end: events,
      about: orders.running.said,
    });
    await orders.running.stop();
    print(`the relay publishes ${shown(relay)} events/s`);
    const rawConsumer = await rate('raw-consumer', {
      ...systems.servers,
      EVENTS: String(events),
      TOPIC: topics.orderEvents,
      GROUP: `${topics.orderEvents}.raw-${randomUUID().slice(0, 8)}`,
    });
    print(`raw kafkajs reads ${shown(rawConsumer)} records/s`);
    const analytics = await systems.service(suffix, 'analytics');
    const replay = await rateBetween('counted', systems.database(suffix, 'analytics'), print, {
      // Moved in the transactions of what is counted.
      text: 'select coalesce(sum(next_offset), 0)::text as done from consumer_offsets',
      end: events,
      about: analytics.running.said,
    });
    await analytics.running.stop();
    print(`analytics counts ${shown(replay)} events/s`);
    await expectCounted(systems, suffix);
    return { events, relay, rawProducer, replay, rawConsumer };
  } finally {
    await admin.deleteTopics({ topics: [rawTopic] }).catch(() => undefined);
    await admin.disconnect();
  }
}

/** A rate of what was counted wrongly is none. */
async function expectCounted(systems: Systems, suffix: string): Promise<void> {
  const [stored] = await systems.query(
    systems.database(suffix),
    `select count(*) filter (where type = 'order.placed.v1') as placed,
            count(*) filter (where type = 'order.payment-recorded.v1') as paid,
            count(*) filter (where type = 'order.shipped.v1' and (data ->> 'complete')::boolean) as shipped,
            count(*) filter (where type = 'order.delivered.v1') as delivered,
            count(*) filter (where type = 'order.cancelled.v1') as cancelled
       from events`,
  );
  const [counted] = await systems.query(
    systems.database(suffix, 'analytics'),
    `select sum(placed)::bigint as placed, sum(paid)::bigint as paid, sum(shipped)::bigint as shipped,
            sum(delivered)::bigint as delivered, sum(cancelled)::bigint as cancelled from order_counts`,
  );
  if (!isDeepStrictEqual(stored, counted))
    throw new Error(`analytics counted ${inspect(counted)}, the table holds ${inspect(stored)}`);
}

/** The rate at which a number in a database grows to its end, from a tenth on. */
async function rateBetween(
  what: string,
  url: string,
  print: (line: string) => void,
  { text, end, about }: { text: string; end: number; about: () => string },
): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let [startedAt, before, done, said] = [0, 0, 0, 0];
  try {
    await until(
      `${end} events are ${what}`,
      async () => {
        const { rows } = await client.query<{ done: string }>(text);
        done = Number(rows[0]?.done ?? 0);
        if (startedAt === 0 && done >= end / 10) [startedAt, before] = [performance.now(), done];
        if (done < end && done - said >= end / 5) print(`${shown((said = done))} of ${shown(end)} events are ${what}`);
        return done >= end;
      },
      { timeoutMs: TIMEOUT_MS, everyMs: 10, about },
    );
    return (done - before) / ((performance.now() - startedAt) / 1_000);
  } finally {
    await client.end();
  }
}

/** Runs a program of raw kafkajs, which answers with its own rate. */
function rate(name: string, environment: Environment): Promise<number> {
  const child = fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), {
    execArgv: NODE_OPTIONS,
    env: { PATH: process.env['PATH'], ...environment },
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    let answered: number | undefined;
    child.on('message', (message) => (answered = message as number));
    child.on('error', reject);
    child.on('exit', (code) => {
      clearTimeout(timer);
      if (answered === undefined) reject(new Error(`${name} ended with ${code} and no result.`));
      else resolve(answered);
    });
  });
}
