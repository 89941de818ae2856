// Raw kafkajs, as a process of its own: eachBatch that counts records and does nothing else.
import { Kafka, logLevel } from 'kafkajs';

const kafka = new Kafka({
  brokers: (process.env['KAFKA_BROKERS'] as string).split(','),
  logLevel: logLevel.ERROR,
});
const [topic, groupId] = [process.env['TOPIC'] as string, process.env['GROUP'] as string];
const expected = Number(process.env['EVENTS']);
const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, maxBytesPerPartition: 1_048_576 });
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
let events = 0;
let startedAt = 0;
let countedBefore = 0;
const done = Promise.withResolvers<void>();
await consumer.run({
  autoCommit: false,
  partitionsConsumedConcurrently: 3,
  eachBatch: async ({ batch }) => {
    events += batch.messages.length;
    // The first tenth warms up, as it does for analytics.
    if (startedAt === 0 && events >= expected / 10) [startedAt, countedBefore] = [performance.now(), events];
    if (events >= expected) done.resolve();
  },
});
await done.promise;
process.send?.((events - countedBefore) / ((performance.now() - startedAt) / 1_000));
await consumer.disconnect();
const admin = kafka.admin();
await admin.connect();
await admin.deleteGroups([groupId]);
await admin.disconnect();
process.disconnect();
