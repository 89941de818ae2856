// @ts-check
// What a namespace has on servers that are not ours, and its removal. Names are exact, but for the id of an instance
// behind that of its group: with an empty namespace, too, nothing is ever chosen by prefix.
import { setTimeout as sleep } from 'node:timers/promises';
import amqp from 'amqplib';
import pg from 'pg';
import { client } from './servers/kafka.mjs';

/**
 * @typedef {object} Topology what libs/contracts/src/topology.ts says
 * @property {Record<string, string>} databases
 * @property {Record<string, string>} queues
 * @property {Record<string, string>} [exchanges]
 * @property {Record<string, string>} topics
 * @property {Record<string, string>} groups
 */

/**
 * All names of a namespace.
 *
 * @param {string} namespace
 * @returns {Promise<Topology>}
 */
export async function topologyOf(namespace) {
  // By address, because these tools are type-checked apart from the libraries.
  await import(new URL('ts-hooks.mjs', import.meta.url).href);
  const { topology } = await import(new URL('../libs/contracts/src/topology.ts', import.meta.url).href);
  return topology(namespace);
}

/**
 * Removes databases, roles, queues, exchanges, topics and consumer groups of a namespace, where they are.
 *
 * @param {Topology} topology its names
 * @param {{ name: string, address: string }[]} servers which to clean
 * @returns {Promise<string[]>} what was removed
 * @throws {AggregateError} when a server could not be cleaned; the others are cleaned all the same
 */
export async function removeNamespace(topology, servers) {
  const results = await Promise.allSettled(
    servers.map(({ name, address }) => {
      if (name === 'postgres') return removeDatabases(address, Object.values(topology.databases));
      if (name === 'rabbitmq') return removeQueues(address, topology);
      return removeTopics(address, Object.values(topology.topics), Object.values(topology.groups));
    }),
  );
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  if (errors.length > 0) throw new AggregateError(errors);
  return results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
}

/** @param {string} address @param {string[]} names */
async function removeDatabases(address, names) {
  const server = new pg.Client({ connectionString: address, connectionTimeoutMillis: 5_000 });
  server.on('error', () => undefined);
  await server.connect();
  try {
    const removed = [];
    for (const name of names) {
      // A database of that name that belongs to another role was made by somebody else.
      const found = await server.query(
        'select 1 from pg_database join pg_roles on pg_roles.oid = datdba where datname = $1 and rolname = $1',
        [name],
      );
      if (found.rowCount === 0) continue;
      await server.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`);
      await server.query(`drop role if exists ${pg.escapeIdentifier(name)}`);
      removed.push(`database and role ${name}`);
    }
    return removed;
  } finally {
    await server.end();
  }
}

/** @param {string} address @param {Topology} topology */
async function removeQueues(address, { queues, exchanges = {} }) {
  const connection = await amqp.connect(address, { timeout: 5_000 });
  connection.on('error', () => undefined);
  try {
    const removed = [];
    for (const name of Object.values(queues)) {
      if (!(await exists(connection, (channel) => channel.checkQueue(name)))) continue;
      await onChannel(connection, (channel) => channel.deleteQueue(name));
      removed.push(`queue ${name}`);
    }
    for (const name of Object.values(exchanges)) {
      if (!(await exists(connection, (channel) => channel.checkExchange(name)))) continue;
      await onChannel(connection, (channel) => channel.deleteExchange(name));
      removed.push(`exchange ${name}`);
    }
    return removed;
  } finally {
    await connection.close();
  }
}

/** @param {amqp.ChannelModel} connection @param {(channel: amqp.Channel) => Promise<unknown>} check */
async function exists(connection, check) {
  try {
    await onChannel(connection, check);
    return true;
  } catch (error) {
    if (/** @type {{ code?: number }} */ (error).code === 404) return false;
    throw error;
  }
}

/**
 * A refusal closes the channel, so each question has its own.
 *
 * @param {amqp.ChannelModel} connection
 * @param {(channel: amqp.Channel) => Promise<unknown>} work
 */
async function onChannel(connection, work) {
  const channel = await connection.createChannel();
  let closed = false;
  channel.on('error', () => (closed = true));
  try {
    await work(channel);
  } finally {
    if (!closed) await channel.close().catch(() => undefined);
  }
}

/** Instances that each read everything have a group of their own, which one that was killed leaves behind. */
const INSTANCE = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @param {string} brokers @param {string[]} topicNames @param {string[]} groupNames */
async function removeTopics(brokers, topicNames, groupNames) {
  const admin = client(brokers).admin();
  await admin.connect();
  try {
    // Groups first: this client asks about every topic it has named, and a deleted one is an error.
    const known = (await admin.listGroups()).groups.map((group) => group.groupId);
    const groups = known.filter((name) => groupNames.includes(name) || groupNames.includes(name.replace(INSTANCE, '')));
    if (groups.length > 0) await removeGroups(admin, groups);
    const present = new Set(await admin.listTopics());
    const topics = topicNames.filter((name) => present.has(name));
    if (topics.length > 0) await admin.deleteTopics({ topics });
    return [...topics.map((name) => `topic ${name}`), ...groups.map((name) => `consumer group ${name}`)];
  } finally {
    await admin.disconnect();
  }
}

/** @param {import('kafkajs').Admin} admin @param {string[]} groups */
async function removeGroups(admin, groups) {
  for (let attempt = 0; ; attempt++) {
    try {
      await admin.deleteGroups(groups);
      return;
    } catch (error) {
      // A member that was killed counts until its session has ended.
      if (attempt === 30) throw error;
      await sleep(500);
    }
  }
}
