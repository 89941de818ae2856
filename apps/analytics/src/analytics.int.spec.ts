import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type {
  GetLag,
  GetRevenue,
  GetSummary,
  LagReply,
  RevenueReply,
  SummaryReply,
} from '@tandem/contracts/analytics-queries';
import { ANALYTICS_QUERIES } from '@tandem/contracts/topology';
import type { HealthReport } from '@tandem/telemetry/health';
import { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { connect } from 'amqplib';
import { AnalyticsDatabase, eventually, testConfig } from './analytics-database.testing.ts';
import type { Config } from './config.ts';
import { forgetCounted } from './database.ts';
import { someHistories } from './histories.testing.ts';
import { OrderLog, type TestEvent, type TestRecord } from './order-log.testing.ts';
import { recount } from './recount.testing.ts';
import { serve } from './serve.ts';

const PARTITIONS = 6;
/** Two members may have to start, and then to wait for the session of a third that died. */
const LATE_MS = 45_000;

let config: Config;
let database: AnalyticsDatabase;
let log: OrderLog;
let client: RabbitMqClient;
let apps: NestFastifyApplication[];

beforeEach(async () => {
  config = testConfig();
  database = await AnalyticsDatabase.create(config);
  log = await OrderLog.create(config.KAFKA_BROKERS, database.names, PARTITIONS);
  apps = [];
  client = new RabbitMqClient({
    url: config.RABBITMQ_URL,
    queue: database.names.queues.analyticsQueries,
    name: 'analytics.test',
    deadlineMs: 20_000,
    inFlightMax: 100,
  });
  await client.connect();
});

afterEach(async () => {
  await client.close();
  await Promise.all(apps.map((app) => app.close()));
  await log.remove();
  await database.remove();
  const connection = await connect(config.RABBITMQ_URL);
  const channel = await connection.createChannel();
  await channel.deleteQueue(database.names.queues.analyticsQueries);
  await channel.deleteQueue(database.names.queues.analyticsControl);
  await connection.close();
});

const readiness = async (app: NestFastifyApplication) => {
  const response = await fetch(`${await app.getUrl()}/health/ready`);
  return { code: response.status, ...((await response.json()) as HealthReport) };
};
const ready = (app: NestFastifyApplication) =>
  eventually(async () => expect(await readiness(app)).toMatchObject({ code: 200, status: 'ok' }), LATE_MS);

/** A member that answers; what it has counted is another matter. */
async function start(changes: Partial<Config> = {}): Promise<NestFastifyApplication> {
  const app = await serve({ ...config, ...changes });
  apps.push(app);
  await eventually(async () => expect((await readiness(app)).checks['rabbitmq']).toEqual({ status: 'ok' }));
  return app;
}

const getSummary = (query: Partial<GetSummary> = {}) =>
  client.request<SummaryReply>(ANALYTICS_QUERIES.summary, { waitMsMax: 15_000, ...query });
const getLag = (query: Partial<GetLag> = {}) =>
  client.request<LagReply>(ANALYTICS_QUERIES.lag, { waitMsMax: 15_000, ...query });
const getRevenue = (query: Partial<GetRevenue>) =>
  client.request<RevenueReply>(ANALYTICS_QUERIES.revenue, {
    from: '2026-01-01T00:00:00.000Z',
    to: '2026-01-02T00:00:00.000Z',
    bucket: 'minute',
    waitMsMax: 15_000,
    ...query,
  });

/** Everything that was published is counted, once. */
async function expectCounted(events: readonly TestEvent[], parked = 0): Promise<void> {
  const position = Number(log.chain.position);
  const { orders, revenue, refunds } = recount(events);
  const reply = await eventually(async () => {
    const answer = await getSummary({ after: position });
    if (answer.outcome === 'behind') throw new Error(`Counted up to ${answer.position} of ${position}`);
    return answer;
  }, LATE_MS);
  expect(reply).toMatchObject({ outcome: 'counted', summary: { orders, revenue, refunds, position, parked } });
}

describe('the summary', () => {
  it('holds what was published up to the position that the caller names, and is waited for', async () => {
    await start();
    const events = someHistories(200, 1);
    await log.publish(events);
    await expectCounted(events);
    const more = someHistories(1, 2);
    const waiting = expectCountedAfter(log.chain.position + BigInt(more.length), [...events, ...more]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await log.publish(more);
    await waiting;
  });

  async function expectCountedAfter(position: bigint, events: readonly TestEvent[]): Promise<void> {
    const { orders } = recount(events);
    const reply = await getSummary({ after: Number(position) });
    expect(reply).toMatchObject({ outcome: 'counted', summary: { orders, position: Number(position) } });
  }

  it('is answered as behind when the wait is over, and says how far it is', async () => {
    await start();
    const events = someHistories(5, 3);
    await log.publish(events);
    await expectCounted(events);
    const asked = performance.now();
    const reply = await getSummary({ after: 1_000_000, waitMsMax: 500 });
    expect(reply).toEqual({ outcome: 'behind', position: events.length });
    expect(performance.now() - asked).toBeGreaterThan(450);
    expect(performance.now() - asked).toBeLessThan(12_000);
  });

  it('is empty before anything was published', async () => {
    await start();
    const orders = { placed: 0, paid: 0, shipped: 0, delivered: 0, cancelled: 0 };
    expect(await getSummary()).toEqual({
      outcome: 'counted',
      summary: {
        orders,
        revenue: [],
        refunds: [],
        rates: { asOf: null, last: expect.any(Array) },
        position: 0,
        parked: 0,
      },
    });
  });

  it('is refused when the question breaks the contract', async () => {
    await start();
    await expect(client.request(ANALYTICS_QUERIES.summary, { after: -1 })).rejects.toMatchObject({
      code: 'invalid_message',
      issues: [{ path: ['after'] }],
    });
  });
});

describe('the lag', () => {
  it('is nothing once all is counted, and says where each partition stands', async () => {
    await start();
    await log.publish(someHistories(50, 5));
    const ends = await log.endOffsets();
    const reply = await getLag({ after: Number(log.chain.position) });
    expect(reply).toEqual({
      outcome: 'counted',
      lag: {
        lag: 0,
        oldestAgeMs: null,
        partitions: ends.map((end, partition) => {
          return { partition, endOffset: Number(end), committedOffset: Number(end), lag: 0, oldestAgeMs: null };
        }),
        position: Number(log.chain.position),
        parked: 0,
      },
    });
  });

  it('is nothing after a transaction of a stranger, whose aborted records are not parked and whose open one is no lag', async () => {
    const app = await start();
    const events = someHistories(50, 20);
    await log.publish(events);
    await log.transact([{ partition: 0, key: 'stranger', value: 'aborted' }], 'abort');
    await expectCounted(events);
    const stands = { lag: 0, oldestAgeMs: null, parked: 0 };
    await eventually(async () => expect(await getLag()).toMatchObject({ lag: stands }));
    const end = await log.begin([{ partition: 0, key: 'stranger', value: 'open' }]);
    const more = someHistories(20, 21);
    await log.publish(more);
    expect(await getLag()).toMatchObject({ lag: { parked: 0 } });
    await end('abort');
    await expectCounted([...events, ...more]);
    await eventually(async () => expect(await getLag()).toMatchObject({ lag: stands }));
    await ready(app);
  });

  it('grows behind a record that is not counted, and tells for how long that has been waiting', async () => {
    const app = await start();
    await ready(app);
    await log.publish(someHistories(20, 6));
    await getLag({ after: Number(log.chain.position) });
    // What does not continue the chain is not counted, nor what comes after it.
    const records = log.chain.records(someHistories(60, 7));
    const lost = records.findIndex(({ partition }) => partition === records.at(-1)?.partition);
    const sentAt = Date.now();
    await log.send(records.toSpliced(lost, 1));
    const partition = records[lost]?.partition as number;
    const waiting = records.filter((record) => record.partition === partition).length - 1;
    const answer = await eventually(async () => {
      const reply = await getLag();
      if (reply.outcome !== 'counted') throw new Error(`The lag is ${reply.outcome}.`);
      expect(reply.lag.partitions.filter(({ lag }) => lag > 0)).toMatchObject([{ partition }]);
      return reply.lag;
    });
    expect(answer.lag).toBeGreaterThanOrEqual(waiting);
    expect(answer.oldestAgeMs).toBe(answer.partitions[partition]?.oldestAgeMs);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const later = await getLag();
    const ageMs = later.outcome === 'counted' ? later.lag.oldestAgeMs : null;
    expect(ageMs).toBeGreaterThanOrEqual(1_000);
    expect(ageMs).toBeLessThanOrEqual((Date.now() - sentAt) * 1.02 + 100);
  });
});

describe('queries that wait for a position', () => {
  it('hold back no others, though they are more than the messages that may be under way', async () => {
    await start({ ANALYTICS_PREFETCH: 2 });
    const waiting: Promise<string>[] = [];
    for (let n = 0; n < 5; n += 1) {
      const ended = () => 'one that waits';
      waiting.push(getSummary({ after: 1_000_000 }).then(ended, ended));
      // Each in a message of its own.
      await new Promise((next) => setTimeout(next, 20));
    }
    const other = getSummary({ waitMsMax: 0 }).then(() => 'the other');
    expect(await Promise.race([other, ...waiting])).toBe('the other');
  });
});

describe('revenue by minute', () => {
  it('is that of the time of each event, in the half-open range, oldest first', async () => {
    await start();
    const events = someHistories(100, 4);
    await log.publish(events);
    const { minutes } = recount(events);
    const position = log.chain.position;
    const reply = await getRevenue({ after: Number(position) });
    const ofTheDay = minutes.filter(({ start }) => start < '2026-01-02T00:00:00.000Z');
    expect(reply).toMatchObject({ outcome: 'counted', revenue: { data: ofTheDay, position: Number(position) } });

    const from = minutes[10]?.start as string;
    const to = minutes[30]?.start as string;
    const inRange = minutes.filter(({ start, currency }) => start >= from && start < to && currency === 'EUR');
    expect(inRange.length).toBeGreaterThan(0);
    expect(await getRevenue({ from, to, currency: 'EUR' })).toMatchObject({ revenue: { data: inRange } });
  });

  it('of too long a range is refused with the limit', async () => {
    await start();
    const to = '2026-01-02T00:01:00.000Z';
    expect(await getRevenue({ to })).toEqual({
      outcome: 'too_large',
      detail: 'The range spans more than 1440 minutes.',
    });
  });
});

describe('exactly once', () => {
  it('over a restart, and over records that the relay publishes again', async () => {
    const first = await start();
    const events = someHistories(300, 5);
    const records = await log.publish(events.slice(0, 500));
    await first.close();
    await log.send(records.slice(100));
    await log.publish(events.slice(500));
    await start();
    await expectCounted(events);
  });

  it('while members come and go', async () => {
    await start();
    const events = someHistories(900, 6);
    const publishing = (async () => {
      for (let index = 0; index < events.length; index += 100) {
        await log.publish(events.slice(index, index + 100));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    const second = await start();
    await new Promise((resolve) => setTimeout(resolve, 700));
    const third = await start();
    await new Promise((resolve) => setTimeout(resolve, 700));
    await second.close();
    await publishing;
    await expectCounted(events);
    await third.close();
    const more = someHistories(20, 7);
    await log.publish(more);
    await expectCounted([...events, ...more]);
  });

  it('over the death of a member in the middle of it', async () => {
    const victim = await startProcess();
    try {
      await eventually(async () => expect(await health(victim.url)).toBe(200), LATE_MS);
      const events = someHistories(2_000, 8);
      const publishing = log.publish(events);
      const survivor = await start();
      await new Promise((resolve) => setTimeout(resolve, 200));
      victim.process.kill('SIGKILL');
      await publishing;
      await expectCounted(events);
      await ready(survivor);
    } finally {
      victim.process.kill('SIGKILL');
    }
  });

  const health = async (url: string) => (await fetch(`${url}/health/ready`)).status;

  async function startProcess(): Promise<{ process: ChildProcess; url: string }> {
    const hooks = fileURLToPath(new URL('../../../tools/ts-hooks.mjs', import.meta.url));
    const main = fileURLToPath(new URL('main.ts', import.meta.url));
    const child = spawn(process.execPath, ['--conditions=@tandem/source', '--import', hooks, main], {
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        NAMESPACE: config.NAMESPACE,
        ANALYTICS_PORT: '0',
        ANALYTICS_HOST: '127.0.0.1',
        LOG_LEVEL: 'info',
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let said = '';
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout?.on('data', (part) => {
        said += part;
        const [, found] = /listens on (http[^\s"]+)/.exec(said) ?? [];
        if (found !== undefined) resolve(found);
      });
      child.on('exit', () => reject(new Error(`It ended:\n${said}`)));
    });
    return { process: child, url };
  }

  it('ends by itself on SIGTERM, after what it has taken is done', async () => {
    const { process: child, url } = await startProcess();
    try {
      await eventually(async () => expect(await health(url)).toBe(200), LATE_MS);
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      expect(await exited).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

describe('what goes wrong in the log', () => {
  it('poison is parked with what follows of its order; the rest is counted and readiness tells of it', async () => {
    const app = await start();
    const events = someHistories(200, 9);
    const records = log.chain.records(events);
    const broken = new Set([3, 50, 51].map((index) => records[index]?.key));
    for (const index of [3, 50, 51]) (records[index] as TestRecord).value = 'poison';
    await log.send(records);
    await log.checkpoint();
    const isParked = (index: number) => {
      const { key } = records[index] as TestRecord;
      return broken.has(key) && records.findIndex((record) => record.key === key && record.value === 'poison') <= index;
    };
    const counted = events.filter((_, index) => !isParked(index));
    const parked = events.length - counted.length;
    await expectCounted(counted, parked);
    expect(await readiness(app)).toMatchObject({
      code: 200,
      status: 'degraded',
      checks: { parked: { status: 'degraded', reason: `${parked} records are parked` } },
    });
  });

  it('a gap holds back its partition and the position, readiness says where, and a repair is picked up', async () => {
    const app = await start();
    const events = someHistories(60, 10);
    const records = log.chain.records(events);
    const lost = 30;
    const { partition, headers } = records[lost] as TestRecord;
    await log.send(records.toSpliced(lost, 1));
    await log.checkpoint();
    const counted = events.filter((_, index) => records[index]?.partition !== partition || index < lost);
    await eventually(async () => {
      expect(await getSummary({ after: Number(headers['prev']) })).toMatchObject({
        summary: { orders: recount(counted).orders },
      });
    });
    expect(await getSummary({ after: lost + 1, waitMsMax: 500 })).toMatchObject({ outcome: 'behind' });
    await eventually(async () =>
      expect(await readiness(app)).toMatchObject({
        code: 200,
        status: 'degraded',
        checks: { events: { reason: expect.stringContaining(`partition ${partition} has a gap`) } },
      }),
    );
    await log.send(records.slice(lost, lost + 1));
    await expectCounted(events);
    await ready(app);
  });

  it('a lost end is told by the checkpoint though nothing comes after it', async () => {
    const app = await start();
    const events = someHistories(20, 11);
    const records = log.chain.records(events);
    const { partition } = records.at(-1) as TestRecord;
    await log.send(records.slice(0, -1));
    await log.checkpoint();
    const reason = `partition ${partition} ends before position ${records.length}, which was published; if it was deleted, run npm run recover`;
    await eventually(async () =>
      expect((await readiness(app)).checks['events']).toEqual({ status: 'degraded', reason }),
    );
    await log.send(records.slice(-1));
    await expectCounted(events);
    await ready(app);
  });

  it('a log that was lost and published again is counted on from where it was', async () => {
    const app = await start();
    const events = someHistories(100, 12);
    const records = await log.publish(events);
    await expectCounted(events);
    await log.lose();
    await log.send(records);
    const more = someHistories(10, 13);
    await log.publish(more);
    await expectCounted([...events, ...more]);
    await ready(app);
  });

  it('what lies before the next offset in a log that was published again is found, though nothing comes after it', async () => {
    const app = await start();
    const events = someHistories(100, 18);
    const records = await log.publish(events);
    await expectCounted(events);
    const more = someHistories(10, 19);
    const next = log.chain.records(more);
    // As many repeats, as a relay that starts over leaves them: the log ends where the next one will end.
    const repeats = next.map(({ partition }) => records.find((record) => record.partition === partition) as TestRecord);
    await log.send(repeats);
    const total = BigInt(records.length + repeats.length);
    await eventually(async () => {
      const { rows } = await database.pool.query('select sum(next_offset)::bigint as read from consumer_offsets');
      expect(rows[0].read).toBe(total);
    });
    await app.close();
    await log.lose();
    await log.send([...records, ...next]);
    await log.checkpoint();
    const again = await start();
    await expectCounted([...events, ...more]);
    await ready(again);
  });

  it('what was counted is forgotten, and counted again though nothing new comes', async () => {
    const app = await start();
    const events = someHistories(100, 16);
    await log.publish(events);
    await expectCounted(events);
    await forgetCounted(config);
    await eventually(() => expectCounted(events));
    await ready(app);
  });

  it('another epoch stops the count, and readiness says so', async () => {
    const app = await start();
    const events = someHistories(20, 14);
    await log.publish(events);
    await expectCounted(events);
    const other = await OrderLog.create(config.KAFKA_BROKERS, database.names, PARTITIONS);
    await other.publish(someHistories(20, 15));
    await other.disconnect();
    await eventually(async () => {
      const { code, checks } = await readiness(app);
      expect(code).toBe(200);
      expect(checks['events']).toMatchObject({
        status: 'degraded',
        reason: expect.stringContaining('npm run recover'),
      });
    });
    expect(await getSummary()).toMatchObject({ summary: { orders: recount(events).orders } });
  });
});

describe('servers that are away', () => {
  it('do not keep the service from starting: it lives, is not ready, says why, and stops', async () => {
    const nowhere = '127.0.0.1:1';
    const away = {
      KAFKA_BROKERS: [nowhere],
      RABBITMQ_URL: `amqp://${nowhere}`,
      POSTGRES_URL: `postgres://x@${nowhere}/x`,
    };
    const app = await serve({ ...config, ...away });
    try {
      expect((await fetch(`${await app.getUrl()}/health/live`)).status).toBe(200);
      const { code, checks } = await readiness(app);
      expect(code).toBe(503);
      expect(checks).toMatchObject({
        kafka: { status: 'unavailable' },
        postgres: { status: 'unavailable', reason: expect.stringContaining('ECONNREFUSED') },
        rabbitmq: { status: 'degraded' },
      });
    } finally {
      await app.close();
    }
  });
});
