// @ts-check
// Apache Kafka: one broker, or several of one cluster. Natively from its jars, which Maven fetches, with a JDK 17 or newer.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import { folder, readJson, remove, tail, writeJson } from '../folder.mjs';
import { isFree, lastingPorts } from '../ports.mjs';
import { find, launch as launchProcess, run } from '../processes.mjs';
import { StartFailed, StepFailed } from '../steps.mjs';
import { install } from './apt.mjs';

const HOW = 'Install a JDK 17 or newer and Maven, start Docker, or set KAFKA_BROKERS.';
const POM = fileURLToPath(new URL('kafka/pom.xml', import.meta.url));

// kafkajs 2.2.4 computes a negative time-out for its first request, which Node 24 remarks upon every time.
process.removeAllListeners('warning');
process.on('warning', (warning) => {
  if (warning.name !== 'TimeoutNegativeWarning') console.error(`${warning.name}: ${warning.message}`);
});

/** @type {import('../servers.mjs').Server} */
export const kafka = {
  name: 'kafka',
  title: 'Kafka',
  variable: 'KAFKA_BROKERS',
  standardPort: 9092,
  ways: ['env', 'running', 'docker', 'native'],
  standardAddresses: (port) => [`127.0.0.1:${port}`],
  probe,
  launch: async (context, port) => {
    const [controllerPort = 0] = await lastingPorts(1);
    return launch(context, port, (data) => alone(port, controllerPort, data));
  },
  stopSignal: 'SIGTERM',
};

/**
 * The servers of one cluster: brokers, each of which may be killed alone, and a controller apart from them, so that the death
 * of a broker is the death of a broker and nothing else. Start them at the same time, each in a folder of its own.
 *
 * @param {{ port: number, advertisedPort: number }[]} brokers where each listens, and where it sends its clients: the same
 *   port, or that of a proxy in front of it
 * @returns {Promise<{ controller: import('../servers.mjs').Server, brokers: import('../servers.mjs').Server[] }>}
 */
export async function cluster(brokers) {
  const id = clusterId();
  const [controllerPort = 0, ...internalPorts] = await lastingPorts(1 + brokers.length);
  const voters = `${CONTROLLER}@127.0.0.1:${controllerPort}`;
  /** @param {number} standardPort @param {(port: number, data: string) => string} settingsFor */
  const member = (standardPort, settingsFor) => ({
    ...kafka,
    standardPort,
    /** @type {import('../servers.mjs').Server['launch']} */
    launch: (context, port) => launch(context, port, (data) => settingsFor(port, data), id),
  });
  return {
    controller: {
      ...member(controllerPort, (port, data) => ofController(port, data, voters)),
      probe: listens,
    },
    brokers: brokers.map(({ port, advertisedPort }, index) => {
      const internalPort = /** @type {number} */ (internalPorts[index]);
      const own = { node: index + 1, copies: brokers.length, advertisedPort, internalPort, voters };
      return member(port, (port, data) => ofBroker(port, data, own));
    }),
  };
}

/** A random cluster id: never one that begins with `-`, which the storage tool takes for an option of its own. */
export function clusterId() {
  for (;;) {
    const id = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}

/**
 * A client that fails at once and says nothing on the console.
 *
 * @param {string} brokers comma separated
 */
export function client(brokers) {
  return new Kafka({
    clientId: 'tandem-tools',
    brokers: brokers.split(',').map((one) => one.trim()),
    logLevel: logLevel.NOTHING,
    connectionTimeout: 3_000,
    requestTimeout: 10_000,
    retry: { retries: 0 },
  });
}

/** Asks for the brokers and the controller: a broker without a controller takes nothing. @param {string} brokers */
async function probe(brokers) {
  const admin = client(brokers).admin();
  try {
    await admin.connect();
    const cluster = await admin.describeCluster();
    if (cluster.brokers.length === 0 || cluster.controller === null) throw new Error('no controller yet');
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/** A controller alone answers none of a client's questions. @param {string} address */
async function listens(address) {
  if (await isFree(Number(address.split(':')[1]))) throw new Error('not listening yet');
}

/**
 * @param {import('../servers.mjs').Context} context
 * @param {number} port
 * @param {(data: string) => string} settingsFor
 * @param {string} [id] of the cluster
 * @returns {Promise<import('../servers.mjs').Launched>}
 */
async function launch(context, port, settingsFor, id = clusterId()) {
  const java = (await findJava()) ?? ((await installJava(context)) ? await findJava() : undefined);
  if (!java) throw new StepFailed(`No JDK 17 or newer on this machine. ${HOW}`);
  const jars = await jarsOf(context);
  const home = join(context.folder, 'kafka');
  const data = join(home, 'data');
  const settings = join(home, 'server.properties');
  mkdirSync(home, { recursive: true });
  writeFileSync(settings, settingsFor(data));
  const classPath = ['-cp', jars.join(':')];
  const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error';
  if (!existsSync(join(data, 'meta.properties'))) {
    context.says('formatting');
    const args = [
      quiet,
      '-XX:TieredStopAtLevel=1',
      ...classPath,
      'kafka.tools.StorageTool',
      'format',
      '-t',
      id,
      '-c',
      settings,
    ];
    const { code, output } = await run(java, args, { timeoutMs: 60_000, signal: context.signal });
    if (code !== 0) throw new StartFailed('Kafka could not format its storage', output);
  }
  const log = join(context.logs, 'kafka.log');
  const { pid, state } = launchProcess(
    java,
    [
      '-Xms64m',
      '-Xmx256m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      ...sharedClasses(jars, java),
      quiet,
      ...classPath,
      'kafka.Kafka',
      settings,
    ],
    { cwd: home, log },
  );
  const failed = () => (state.exited ? state.error?.message || tail(log) : undefined);
  return { way: 'native', address: `127.0.0.1:${port}`, pid, failed };
}

/** A lone broker, which is its own controller. @param {number} port @param {number} controllerPort @param {string} data */
function alone(port, controllerPort, data) {
  return properties({
    ...common(data, 1),
    'node.id': 1,
    'process.roles': 'broker,controller',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    // A restart after `kill -9` waits for the old session to end.
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
  });
}

/**
 * @param {number} port
 * @param {string} data
 * @param {{ node: number, copies: number, advertisedPort: number, internalPort: number, voters: string }} own
 */
function ofBroker(port, data, { node, copies, advertisedPort, internalPort, voters }) {
  return properties({
    ...common(data, copies),
    'node.id': node,
    'process.roles': 'broker',
    'controller.quorum.voters': voters,
    listeners: `PLAINTEXT://127.0.0.1:${port},INTERNAL://127.0.0.1:${internalPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${advertisedPort},INTERNAL://127.0.0.1:${internalPort}`,
    // Apart from the clients, which may be sent through a proxy.
    'inter.broker.listener.name': 'INTERNAL',
    'replica.lag.time.max.ms': 3_000,
    // Followers turn to the new leader as soon as there is one.
    'replica.fetch.backoff.ms': 100,
    ...SESSIONS,
  });
}

/** @param {number} port @param {string} data @param {string} voters */
function ofController(port, data, voters) {
  return properties({
    ...common(data, 1),
    'node.id': CONTROLLER,
    'process.roles': 'controller',
    'controller.quorum.voters': voters,
    listeners: `CONTROLLER://127.0.0.1:${port}`,
    ...SESSIONS,
  });
}

/** A partition has a new leader when the session of the old one has ended, and the old one may come back then. */
const SESSIONS = { 'broker.session.timeout.ms': 1_000, 'broker.heartbeat.interval.ms': 200 };

/** The controller's number in a cluster: past those of the brokers. */
const CONTROLLER = 100;

/** What a small server needs. @param {string} data @param {number} copies of everything */
function common(data, copies) {
  const inSync = Math.max(1, copies - 1);
  return {
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': data,
    // Events are kept for ever: the log is the source of every number that can be rebuilt.
    'log.retention.ms': -1,
    'auto.create.topics.enable': false,
    'group.initial.rebalance.delay.ms': 0,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.num.partitions': 4,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': inSync,
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': inSync,
    'log.cleaner.dedupe.buffer.size': 4_194_304,
  };
}

/** @param {Record<string, string | number | boolean>} settings */
function properties(settings) {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** @type {Promise<string[]> | undefined} */
let jarsFetched;

/**
 * The broker's jars, fetched once for a checkout.
 *
 * @param {import('../servers.mjs').Context} context
 * @returns {Promise<string[]>} sorted: the class-data archive is bound to the exact class path
 */
async function jarsOf(context) {
  // The brokers of a cluster ask at the same time.
  jarsFetched ??= fetchJars(context);
  try {
    return await jarsFetched;
  } catch (error) {
    jarsFetched = undefined;
    throw error;
  }
}

/** @param {import('../servers.mjs').Context} context */
async function fetchJars(context) {
  const place = join(folder, 'kafka', 'jars');
  const stamp = join(place, 'complete.json');
  const wanted = createHash('sha256').update(readFileSync(POM)).digest('hex');
  if (readJson(stamp)?.pom !== wanted) {
    const maven = find('mvn') ?? ((await install('maven', context)) ? find('mvn') : undefined);
    if (!maven) throw new StepFailed(`No Maven on this machine. ${HOW}`);
    context.says('fetching the jars with Maven');
    // Elsewhere first: another run of this checkout may do the same at this moment.
    const draft = `${place}.${process.pid}`;
    const args = [
      '-q',
      '-B',
      '--strict-checksums',
      '-f',
      POM,
      'dependency:copy-dependencies',
      `-DoutputDirectory=${draft}`,
    ];
    const { code, output } = await run(maven, args, { timeoutMs: 600_000, signal: context.signal });
    if (code !== 0) {
      remove(draft);
      throw new StepFailed('Maven could not fetch the jars of Kafka', output.trim().split('\n').slice(-10).join('\n'));
    }
    writeJson(join(draft, 'complete.json'), { pom: wanted });
    if (readJson(stamp)?.pom !== wanted) {
      remove(place);
      renameSync(draft, place);
    } else remove(draft);
  }
  return readdirSync(place)
    .filter((name) => name.endsWith('.jar'))
    .sort()
    .map((name) => join(place, name));
}

/**
 * Options that let the JVM start from an archive of its loaded classes (JEP 350), in half the time. The first broker
 * records it when it stops.
 *
 * @param {string[]} jars
 * @param {string} java
 */
function sharedClasses(jars, java) {
  const key = createHash('sha256')
    .update([java, ...jars].join('\n'))
    .digest('hex')
    .slice(0, 12);
  const archive = join(folder, 'kafka', 'jars', `classes-${key}.jsa`);
  // An archive that does not fit (a newer JVM, a cut file) is passed over.
  return existsSync(archive)
    ? [`-XX:SharedArchiveFile=${archive}`, '-Xshare:auto', '-Xlog:cds=off', '-Xlog:cds+dynamic=off']
    : [`-XX:ArchiveClassesAtExit=${archive}`, '-Xlog:cds=off', '-Xlog:cds+dynamic=off'];
}

/** @type {string | undefined} */
let javaFound;

/** @returns {Promise<string | undefined>} the first Java of version 17 or newer */
async function findJava() {
  // Asked for its version once: a broker is started again and again by those who kill it.
  if (javaFound !== undefined && existsSync(javaFound)) return javaFound;
  const home = process.env['JAVA_HOME'];
  const machines = existsSync('/usr/lib/jvm')
    ? readdirSync('/usr/lib/jvm').map((name) => `/usr/lib/jvm/${name}/bin/java`)
    : [];
  for (const java of [home && join(home, 'bin', 'java'), find('java'), ...machines]) {
    if (!java || !existsSync(java)) continue;
    const { code, output } = await run(java, ['-version'], { timeoutMs: 20_000 });
    const version = /version "(\d+)/.exec(output)?.[1];
    if (code === 0 && Number(version) >= 17) return (javaFound = java);
  }
  return undefined;
}

/** Debian 12 has 17, later releases have newer ones only. @param {import('../servers.mjs').Context} context */
async function installJava(context) {
  try {
    return await install('openjdk-17-jre-headless', context);
  } catch {
    return await install('default-jre-headless', context);
  }
}
