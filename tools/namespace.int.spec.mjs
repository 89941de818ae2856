// @ts-check
// Removal takes what belongs to a namespace, and nothing of its neighbours.
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import amqp from 'amqplib';
import pg from 'pg';
import { removeNamespace } from './namespace.mjs';
import { servers } from './servers.mjs';
import { client } from './servers/kafka.mjs';

const known = servers.map(({ name, variable, standardPort, standardAddresses }) => ({
  name,
  address: process.env[variable] ?? /** @type {string} */ (standardAddresses(standardPort)[0]),
}));
const [postgresUrl = '', rabbitmqUrl = '', brokers = ''] = known.map(({ address }) => address);

const database = new pg.Client({ connectionString: postgresUrl });
/** @type {amqp.ChannelModel} */
let rabbitmq;

// By address, because these tools are type-checked apart from the libraries.
const { topology } = await import(new URL('../libs/contracts/src/topology.ts', import.meta.url).href);
const prefix = `tools-${randomBytes(3).toString('hex')}`;
/** @param {string} name */
function withInstance(name) {
  const all = topology(name);
  return { ...all, groups: { ...all.groups, instance: `${all.groups.analyticsCheckpoints}.${randomUUID()}` } };
}
const namespace = withInstance(prefix);
// Its names begin like the other's.
const neighbour = withInstance(`${prefix}_x`);

beforeAll(async () => {
  await database.connect();
  rabbitmq = await amqp.connect(rabbitmqUrl);
});

afterAll(async () => {
  await removeNamespace(neighbour, known);
  await removeNamespace(topology(prefix), known);
  await rabbitmq.close();
  await database.end();
});

/** @param {import('./namespace.mjs').Topology} names */
async function create({ databases, queues, topics, groups }) {
  for (const one of Object.values(databases)) {
    await database.query(`create role ${pg.escapeIdentifier(one)}`);
    await database.query(`grant ${pg.escapeIdentifier(one)} to current_user`);
    await database.query(`create database ${pg.escapeIdentifier(one)} owner ${pg.escapeIdentifier(one)}`);
  }
  const channel = await rabbitmq.createChannel();
  for (const one of Object.values(queues)) await channel.assertQueue(one);
  await channel.close();
  const wanted = Object.values(topics).map((topic) => ({ topic, numPartitions: 1, replicationFactor: 1 }));
  await withAdmin(async (admin) => {
    await admin.createTopics({ topics: wanted, waitForLeaders: true });
    const [topic = ''] = Object.values(topics);
    // Side by side: each is a consumer that joins and takes five seconds to leave.
    const partitions = [{ partition: 0, offset: '0' }];
    await Promise.all(Object.values(groups).map((groupId) => group(admin, { groupId, topic, partitions })));
  });
}

/**
 * A broker has no coordinator before the first group, and takes a moment to make one.
 *
 * @param {import('kafkajs').Admin} admin
 * @param {Parameters<import('kafkajs').Admin['setOffsets']>[0]} offsets
 */
async function group(admin, offsets) {
  for (const late = Date.now() + 30_000; ; await sleep(200)) {
    try {
      return await admin.setOffsets(offsets);
    } catch (error) {
      if (Date.now() > late) throw error;
    }
  }
}

/**
 * @template T
 * @param {(admin: import('kafkajs').Admin) => Promise<T>} use
 */
async function withAdmin(use) {
  const admin = client(brokers).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

/** What of a namespace is there. @param {import('./namespace.mjs').Topology} names */
async function present({ databases, queues, topics, groups }) {
  const roles = await database.query('select rolname from pg_roles where rolname = any($1)', [
    Object.values(databases),
  ]);
  const found = await database.query('select datname from pg_database where datname = any($1)', [
    Object.values(databases),
  ]);
  const declared = [];
  for (const queue of Object.values(queues)) {
    const channel = await rabbitmq.createChannel();
    channel.on('error', () => undefined);
    const there = await channel.checkQueue(queue).then(
      () => true,
      () => false,
    );
    if (there) {
      declared.push(queue);
      await channel.close();
    }
  }
  const { allTopics, allGroups } = await withAdmin(async (admin) => ({
    allTopics: await admin.listTopics(),
    allGroups: (await admin.listGroups()).groups.map((group) => group.groupId),
  }));
  return {
    roles: roles.rowCount,
    databases: found.rowCount,
    queues: declared.length,
    topics: Object.values(topics).filter((topic) => allTopics.includes(topic)).length,
    groups: Object.values(groups).filter((group) => allGroups.includes(group)).length,
  };
}

it('takes databases, roles, queues, topics and groups of the namespace, by their exact names', async () => {
  const count = (/** @type {Record<string, string>} */ names) => Object.keys(names).length;
  const everything = {
    roles: count(namespace.databases),
    databases: count(namespace.databases),
    queues: count(namespace.queues),
    topics: count(namespace.topics),
    groups: count(namespace.groups),
  };
  await Promise.all([create(namespace), create(neighbour)]);
  expect(await present(namespace)).toEqual(everything);

  const removed = await removeNamespace(topology(prefix), known);

  expect(await present(namespace)).toEqual({ roles: 0, databases: 0, queues: 0, topics: 0, groups: 0 });
  expect(await present(neighbour)).toEqual(everything);
  expect(removed).toHaveLength(everything.databases + everything.queues + everything.topics + everything.groups);
  expect(await removeNamespace(topology(prefix), known)).toEqual([]);
});

it('leaves a database of that name to the role that made it', async () => {
  const name = namespace.databases.orders;
  await database.query(`create database ${pg.escapeIdentifier(name)}`);
  try {
    expect(await removeNamespace(topology(prefix), known)).toEqual([]);
    const found = await database.query('select 1 from pg_database where datname = $1', [name]);
    expect(found.rowCount).toBe(1);
  } finally {
    await database.query(`drop database ${pg.escapeIdentifier(name)}`);
  }
});
