import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { until } from './waiting.testing.ts';

// Counts again with nothing of the system's own code: plain kafkajs, plain pg, plain arithmetic.

export interface Addresses {
  postgresUrl: string;
  kafkaBrokers: string;
  namespace: string;
}

export interface Recount {
  placed: number;
  cancelled: number;
  placedAmount: number;
  position: number;
  /** Each event of the log, once. */
  events: LogRecord[];
}

/**
 * Reads the whole log and the whole table, and compares: every event of the table is in the log, as it is stored; each
 * order's events are in their order; in each partition every first appearance follows the one before it (`prev`).
 *
 * @throws Error naming the first thing that is wrong.
 */
export async function recount({ postgresUrl, kafkaBrokers, namespace }: Addresses): Promise<Recount> {
  const prefix = namespace === '' ? '' : `${namespace}.`;
  const records = await readAll(kafkaBrokers, `${prefix}order.events`);
  const url = new URL(postgresUrl);
  url.pathname = namespace === '' ? '/orders' : `/${namespace}_orders`;
  const client = new pg.Client(url.href);
  await client.connect();
  const { rows } = await client.query(
    'select position::text as at, order_id, version, type, data::text as data from events',
  );
  await client.end();
  const table = new Map<string, (typeof rows)[number]>(rows.map((row) => [row.at, row]));

  const last = new Map<number, number>();
  const versions = new Map<string, number>();
  const seen = new Set<string>();
  const count: Recount = { placed: 0, cancelled: 0, placedAmount: 0, position: 0, events: [] };
  for (const record of records) {
    const { partition, key, value, headers } = record;
    const position = headers['position'] ?? '';
    if (Number(position) <= (last.get(partition) ?? 0)) continue;
    if (Number(headers['prev']) !== (last.get(partition) ?? 0))
      throw new Error(
        `Partition ${partition}: ${position} follows ${last.get(partition) ?? 0}, its prev is ${headers['prev']}.`,
      );
    last.set(partition, Number(position));
    seen.add(position);
    count.events.push(record);
    const row = table.get(position);
    if (row === undefined) throw new Error(`Position ${position} of the log is not in the table.`);
    if (
      row.order_id !== key ||
      row.type !== headers['ce_type'] ||
      row.data !== value ||
      String(row.version) !== headers['version']
    )
      throw new Error(`Position ${position} is not in the log as it is in the table.`);
    if (row.version !== (versions.get(key) ?? 0) + 1)
      throw new Error(`Order ${key}: version ${row.version} follows ${versions.get(key) ?? 0}.`);
    versions.set(key, row.version);
    count.position = Math.max(count.position, Number(position));
    if (row.type === 'order.placed.v1') {
      count.placed += 1;
      count.placedAmount += JSON.parse(value).total;
    }
    if (row.type === 'order.cancelled.v1') count.cancelled += 1;
  }
  const missing = rows.filter((row) => !seen.has(row.at));
  if (missing.length > 0)
    throw new Error(`${missing.length} events of the table are not in the log, the first at ${missing[0].at}.`);
  return count;
}

export interface LogRecord {
  partition: number;
  key: string;
  value: string;
  headers: Record<string, string>;
}

async function readAll(brokers: string, topic: string): Promise<LogRecord[]> {
  const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING, retry: { retries: 10 } });
  const admin = kafka.admin();
  const ends = await admin
    .connect()
    .then(() => admin.fetchTopicOffsets(topic))
    .finally(() => admin.disconnect());
  const total = ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  const consumer = kafka.consumer({ groupId: `recount-${randomUUID()}`, maxWaitTimeInMs: 50 });
  const records: LogRecord[] = [];
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]);
        records.push({
          partition,
          key: String(message.key),
          value: String(message.value),
          headers: Object.fromEntries(headers),
        });
      },
    });
    await until(`${total} records of ${topic} are read`, () => records.length >= total, { timeoutMs: 60_000 });
  } finally {
    await consumer.disconnect();
  }
  return records;
}
