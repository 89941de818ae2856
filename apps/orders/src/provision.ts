import { fileURLToPath } from 'node:url';
import { topology } from '@tandem/contracts/topology';
import { createDatabase, databaseUrl, migrate } from '@tandem/postgres/database';
import { leadWheneverPossible } from '@tandem/postgres/leader';
import { connected } from '@tandem/postgres/session';
import { createLogger } from '@tandem/telemetry/logger';
import kafkajs, { type Admin } from 'kafkajs';
import type { Config } from './config.ts';
import { kafkaOf } from './followers/kafka-client.ts';
import { FOLLOWER } from './followers/relay.ts';

const DELETED_MS_MAX = 30_000;

/** Of whoever begins a new log, which may take as long as Kafka takes to delete the old one. */
const LEADERSHIP = { idleTimeoutMs: 60_000, heartbeatMs: 1_000, retryMs: 50, statementTimeoutMs: 10_000 };

/** Makes what orders needs on its servers, and leaves alone what is there: its database, its tables, its topics. */
export async function provision(config: Config): Promise<void> {
  const names = topology(config.NAMESPACE);
  await createDatabase(config.POSTGRES_URL, names.databases.orders);
  const url = databaseUrl(config.POSTGRES_URL, names.databases.orders);
  await migrate(url, fileURLToPath(new URL('../migrations', import.meta.url)));
  const partitions = await recordedPartitions(url, config.EVENTS_PARTITIONS);
  await createTopics(config, partitions);
}

/** The number of partitions is fixed when the log is first made; from then on the database remembers it. */
function recordedPartitions(url: string, wanted: number): Promise<number> {
  return connected(url, async (client) => {
    await client.query('insert into log (partitions) values ($1) on conflict do nothing', [wanted]);
    const { rows } = await client.query<{ partitions: number }>('select partitions from log');
    return rows[0]?.partitions ?? wanted;
  });
}

async function createTopics(config: Config, partitions: number): Promise<void> {
  const { topics } = topology(config.NAMESPACE);
  const replicationFactor = config.KAFKA_REPLICATION;
  const inSync = { name: 'min.insync.replicas', value: String(Math.max(1, replicationFactor - 1)) };
  const admin = kafkaOf(config, createLogger({ service: 'orders', level: config.LOG_LEVEL })).admin();
  await admin.connect();
  try {
    await admin.createTopics({
      waitForLeaders: true,
      topics: [
        {
          topic: topics.orderEvents,
          numPartitions: partitions,
          replicationFactor,
          // Unless that is wanted nothing is ever deleted: every number must be rebuilt from it.
          configEntries: [inSync, ...retentionOf(config)],
        },
        {
          topic: topics.orderCheckpoints,
          numPartitions: 1,
          replicationFactor,
          // Only the newest checkpoint matters, and it must outlast a quiet year.
          configEntries: [inSync, { name: 'cleanup.policy', value: 'compact' }],
        },
      ],
    });
    await applyRetention(admin, topics.orderEvents, config);
  } finally {
    await admin.disconnect();
  }
}

const retentionOf = ({ EVENTS_RETENTION_MS }: Config) => [
  { name: 'retention.ms', value: String(EVENTS_RETENTION_MS) },
  { name: 'retention.bytes', value: '-1' },
];

/** Gives a topic that was made before the retention of today. */
async function applyRetention(admin: Admin, topic: string, config: Config): Promise<void> {
  // Not by its name: Node finds only the first few names that kafkajs exports, and this is none of them.
  const type = kafkajs.ConfigResourceTypes.TOPIC;
  const { resources } = await admin.describeConfigs({ resources: [{ type, name: topic }], includeSynonyms: false });
  // Kafka's AlterConfigs, which is what kafkajs has, sets back whatever is not named.
  const own = resources
    .flatMap(({ configEntries }) => configEntries)
    .filter((entry) => entry.configSource === TOPIC_CONFIG);
  const wanted = new Map(own.map(({ configName, configValue }) => [configName, configValue]));
  const changes = retentionOf(config).filter(({ name, value }) => wanted.get(name) !== value);
  if (changes.length === 0) return;
  for (const { name, value } of changes) wanted.set(name, value);
  const configEntries = [...wanted].map(([name, value]) => ({ name, value }));
  await admin.alterConfigs({ validateOnly: false, resources: [{ type, name: topic, configEntries }] });
}

/** Of a value that was set on the topic itself. https://kafka.apache.org/protocol.html#The_Messages_DescribeConfigs */
const TOPIC_CONFIG = 1;

/**
 * Begins a new log: a new epoch, empty topics, and a relay that publishes the whole events table again. For a database that
 * was restored to an earlier state than the log; what the log held beyond it is gone. Needs no stop: it takes the relay's
 * leadership first, and a relay that leads loses it.
 */
export async function recover(config: Config): Promise<void> {
  const names = topology(config.NAMESPACE);
  const url = databaseUrl(config.POSTGRES_URL, names.databases.orders);
  const done = new AbortController();
  let failure: Error | undefined;
  await leadWheneverPossible(
    { url, name: FOLLOWER, deposes: true, ...LEADERSHIP },
    done.signal,
    async ({ client }) => {
      // The epoch first: should this end half-way, relay and readers refuse the old log until it is done again. Topics that
      // were emptied first would be filled under the old epoch, of which readers drop what they believe to have seen.
      await client.query(
        `with renewed as (update log set epoch = gen_random_uuid())
         delete from followers where name = $1`,
        [FOLLOWER],
      );
      await deleteTopics(config);
      await provision(config);
      done.abort();
    },
    (error) => {
      failure = error;
      done.abort();
    },
  );
  if (failure !== undefined) throw failure;
}

async function deleteTopics(config: Config): Promise<void> {
  const { topics } = topology(config.NAMESPACE);
  const admin = kafkaOf(config, createLogger({ service: 'orders', level: config.LOG_LEVEL })).admin();
  await admin.connect();
  try {
    const present = async () =>
      (await admin.listTopics()).filter((name) => Object.values<string>(topics).includes(name));
    const old = await present();
    if (old.length > 0) await admin.deleteTopics({ topics: old });
    // The names are free when the broker has forgotten them, a moment after it has answered.
    for (const late = performance.now() + DELETED_MS_MAX; (await present()).length > 0;) {
      if (performance.now() > late) throw new Error(`Kafka has not deleted ${old.join(' and ')}: try again.`);
      await new Promise((resume) => setTimeout(resume, 100));
    }
  } finally {
    await admin.disconnect();
  }
}
