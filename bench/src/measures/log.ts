import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { NODE_OPTIONS, until, type Environment } from '../processes.ts';
import type { Systems } from '../system.ts';
import { fillOrders } from './fixture.ts';

export interface LogRates {
  relay: number;
  rawProducer: number;
  replay: number;
  rawConsumer: number;
}

/**
 * Events a second of the relay against raw kafkajs producing the same records, and of analytics counting the log from its
 * beginning against raw kafkajs that only counts records. The first tenth of each is warm-up.
 *
 * @param print told of each figure as it comes.
 */
export async function measureLog(systems: Systems, events: number, print: (line: string) => void): Promise<LogRates> {
  const suffix = 'log';
  await systems.setUp(suffix);
  await fillOrders(systems, suffix, events);
  const { topics } = systems.names(suffix);
  const rawTopic = `${topics.orderEvents}.raw`;
  const admin = systems.kafka().admin();
  await admin.connect();
  try {
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic: rawTopic, numPartitions: 6 }] });
    const environment = {
      ...systems.servers,
      DATABASE_URL: systems.database(suffix),
      EVENTS: String(events),
    };
    const rawProducer = await rate('raw-producer', { ...environment, TOPIC: rawTopic });
    print(`raw kafkajs produces ${Math.round(rawProducer).toLocaleString('en')} records/s`);
    const orders = await systems.service(suffix, 'orders');
    const relay = await rateBetween(
      systems.database(suffix),
      'select position::text as done from followers',
      events,
      orders.running.said,
    );
    await orders.running.stop();
    print(`the relay publishes ${Math.round(relay).toLocaleString('en')} events/s`);
    const group = `${topics.orderEvents}.raw-${randomUUID().slice(0, 8)}`;
    const rawConsumer = await rate('raw-consumer', { ...environment, TOPIC: topics.orderEvents, GROUP: group });
    print(`raw kafkajs reads ${Math.round(rawConsumer).toLocaleString('en')} records/s`);
    const analytics = await systems.service(suffix, 'analytics');
    const replay = await rateBetween(
      systems.database(suffix, 'analytics'),
      'select coalesce(sum(placed), 0)::text as done from order_counts',
      events,
      analytics.running.said,
    );
    await analytics.running.stop();
    print(`analytics counts ${Math.round(replay).toLocaleString('en')} events/s`);
    return { relay, rawProducer, replay, rawConsumer };
  } finally {
    await admin.deleteTopics({ topics: [rawTopic] }).catch(() => undefined);
    await admin.disconnect();
  }
}

/** The rate at which a number in a database grows to its end, from a tenth on. */
async function rateBetween(url: string, text: string, end: number, about: () => string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let [startedAt, before, done] = [0, 0, 0];
  try {
    await until(
      `${end} events are done`,
      async () => {
        const { rows } = await client.query<{ done: string }>(text);
        done = Number(rows[0]?.done ?? 0);
        if (startedAt === 0 && done >= end / 10) [startedAt, before] = [performance.now(), done];
        return done >= end;
      },
      { timeoutMs: 120_000, everyMs: 5, about },
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
    const timer = setTimeout(() => child.kill('SIGKILL'), 120_000);
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
