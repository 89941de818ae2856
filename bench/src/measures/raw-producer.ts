// Raw kafkajs, as a process of its own: the records of the relay, made beforehand, one batch in flight, acks from all.
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
// eslint-disable-next-line @nx/enforce-module-boundaries
import type { StoredEvent } from '../../../apps/orders/src/followers/chain.ts';
import { batchesOf } from './log-records.ts';

pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);
const client = new pg.Client({ connectionString: process.env['DATABASE_URL'] });
await client.connect();
const { rows } = await client.query<StoredEvent>(
  'select position, order_id, version, type, data::text, at, traceparent from events order by position limit $1',
  [process.env['EVENTS']],
);
await client.end();
const batches = batchesOf(rows, 2_000, 512 * 1024);
const kafka = new Kafka({
  brokers: (process.env['KAFKA_BROKERS'] as string).split(','),
  logLevel: logLevel.ERROR,
});
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false });
await producer.connect();
const topic = process.env['TOPIC'] as string;
// The first tenth warms up, as it does for the relay.
const warm = Math.ceil(batches.length / 10);
for (const messages of batches.slice(0, warm)) await producer.send({ topic, messages, acks: -1 });
const startedAt = performance.now();
let events = 0;
for (const messages of batches.slice(warm)) {
  await producer.send({ topic, messages, acks: -1 });
  events += messages.length;
}
process.send?.(events / ((performance.now() - startedAt) / 1_000));
await producer.disconnect();
process.disconnect();
