// @ts-check
// RabbitMQ: 3.10 and newer will do. Natively a node of its own beside whatever the machine runs already.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import amqp from 'amqplib';
import { tail } from '../folder.mjs';
import { lastingPorts } from '../ports.mjs';
import { find, identify, launch as launchProcess } from '../processes.mjs';
import { StepFailed } from '../steps.mjs';
import { install } from './apt.mjs';

const HOW = 'Install RabbitMQ 3.10 or newer (rabbitmq-server), start Docker, or set RABBITMQ_URL.';

/** @type {import('../servers.mjs').Server} */
export const rabbitmq = {
  name: 'rabbitmq',
  title: 'RabbitMQ',
  variable: 'RABBITMQ_URL',
  standardPort: 5672,
  ways: ['env', 'running', 'docker', 'native'],
  standardAddresses: (port) => [`amqp://guest:guest@127.0.0.1:${port}`],
  probe,
  launch,
  stopSignal: 'SIGTERM',
};

/** @param {string} address */
async function probe(address) {
  const connection = await amqp.connect(address, { timeout: 5_000 });
  connection.on('error', () => undefined);
  await connection.close();
}

/**
 * @param {import('../servers.mjs').Context} context
 * @param {number} port
 * @returns {Promise<import('../servers.mjs').Launched>}
 */
async function launch(context, port) {
  const script = program() ?? ((await install('rabbitmq-server', context)) ? program() : undefined);
  if (!script) throw new StepFailed(`No RabbitMQ on this machine. ${HOW}`);
  const home = join(context.folder, 'rabbitmq');
  mkdirSync(join(home, 'data'), { recursive: true });
  const [distributionPort, epmdPort] = /** @type {[number, number]} */ (await lastingPorts(2));
  const settings = join(home, 'rabbitmq.conf');
  writeFileSync(settings, `listeners.tcp.1 = 127.0.0.1:${port}\nlog.file.level = info\n`);
  writeFileSync(join(home, 'enabled_plugins'), '[].\n');
  const env = {
    ...process.env,
    // The Erlang cookie lies in HOME: one of its own keeps this node apart from all others.
    HOME: home,
    RABBITMQ_NODENAME: `tandem-${createHash('sha256').update(home).digest('hex').slice(0, 8)}@localhost`,
    RABBITMQ_DIST_PORT: `${distributionPort}`,
    RABBITMQ_MNESIA_BASE: join(home, 'data'),
    RABBITMQ_LOG_BASE: context.logs,
    RABBITMQ_LOGS: join(context.logs, 'rabbitmq.log'),
    RABBITMQ_PID_FILE: join(home, 'pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(home, 'enabled_plugins'),
    RABBITMQ_CONFIG_FILE: settings,
    RABBITMQ_ADVANCED_CONFIG_FILE: join(home, 'advanced.config'),
    // The machine's own settings are for the machine's own node.
    RABBITMQ_CONF_ENV_FILE: join(home, 'rabbitmq-env.conf'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    ERL_EPMD_PORT: `${epmdPort}`,
    ERL_EPMD_ADDRESS: '127.0.0.1',
  };
  // Erlang's port mapper as well: the one that a node starts by itself would stay behind for ever.
  const mapper = launchProcess(epmd(), ['-port', `${epmdPort}`, '-address', '127.0.0.1'], {
    env,
    cwd: home,
    log: join(context.logs, 'epmd.log'),
  });
  const log = join(context.logs, 'rabbitmq.out.log');
  const { pid, state } = launchProcess(script, [], { env, cwd: home, log });
  const companion = identify(mapper.pid);
  const failed = () =>
    state.exited ? state.error?.message || [tail(log), tail(env.RABBITMQ_LOGS, 10)].join('\n').trim() : undefined;
  const companions = companion ? [companion] : [];
  return { way: 'native', address: `amqp://guest:guest@127.0.0.1:${port}`, pid, companions, failed };
}

/**
 * The script that starts a node. Debian's and Red Hat's wrapper insists on the user `rabbitmq`; the script in RabbitMQ's
 * own library folder runs as whoever starts it.
 */
function program() {
  const library = '/usr/lib/rabbitmq/lib';
  const versions = existsSync(library)
    ? readdirSync(library).filter((name) => name.startsWith('rabbitmq_server-'))
    : [];
  const packaged = versions.sort().map((version) => join(library, version, 'sbin', 'rabbitmq-server'));
  return packaged.reverse().find((path) => existsSync(path)) ?? find('rabbitmq-server');
}

function epmd() {
  const erl = find('erl');
  return find('epmd') ?? (erl ? join(dirname(erl), 'epmd') : 'epmd');
}
