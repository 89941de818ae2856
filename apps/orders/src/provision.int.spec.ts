import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from '@jest/globals';
import { topology } from '@tandem/contracts/topology';
import { dropDatabase } from '@tandem/postgres/database';
import { ConfigResourceTypes, Kafka, logLevel } from 'kafkajs';
import { readConfig } from './config.ts';
import { provision } from './provision.ts';

const NAMESPACE = `provision-test-${randomUUID().slice(0, 8)}`;
const configured = (environment: Record<string, string> = {}) =>
  readConfig({ ...process.env, LOG_LEVEL: 'silent', NAMESPACE, ...environment });
const { topics, databases } = topology(NAMESPACE);

afterEach(async () => {
  const admin = new Kafka({ brokers: configured().KAFKA_BROKERS, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [topics.orderEvents, topics.orderCheckpoints] });
  await admin.disconnect();
  await dropDatabase(configured().POSTGRES_URL, databases.orders);
});

async function settings(): Promise<Record<string, string>> {
  const admin = new Kafka({ brokers: configured().KAFKA_BROKERS, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const configNames = ['retention.ms', 'retention.bytes', 'min.insync.replicas'];
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topics.orderEvents, configNames }];
  const described = await admin.describeConfigs({ resources, includeSynonyms: false });
  await admin.disconnect();
  const entries = described.resources.flatMap(({ configEntries }) => configEntries);
  return Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue]));
}

describe('the retention of events', () => {
  it('is for ever unless it is set, and a later set-up changes it and nothing else', async () => {
    await provision(configured());
    const before = await settings();
    expect(before).toMatchObject({ 'retention.ms': '-1', 'retention.bytes': '-1' });
    await provision(configured({ EVENTS_RETENTION_MS: '31536000000' }));
    expect(await settings()).toEqual({ ...before, 'retention.ms': '31536000000' });
  });
});

describe('the partitions of the log', () => {
  async function partitions(): Promise<number | undefined> {
    const admin = new Kafka({ brokers: configured().KAFKA_BROKERS, logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    const { topics: found } = await admin.fetchTopicMetadata({ topics: [topics.orderEvents] });
    await admin.disconnect();
    return found[0]?.partitions.length;
  }

  it('are six unless another number is set', async () => {
    await provision(configured());
    expect(await partitions()).toBe(6);
  });

  it('stay as many as the log was made with: orders would move between them', async () => {
    await provision(configured({ EVENTS_PARTITIONS: '3' }));
    await provision(configured({ EVENTS_PARTITIONS: '5' }));
    expect(await partitions()).toBe(3);
  });
});
