import { startServers, type BrokerPorts, type OwnServers } from './servers.testing.ts';
import {
  removeLogs,
  setUp,
  startService,
  type Environment,
  type OwnService,
  type ServiceName,
} from './services.testing.ts';
import { until } from './waiting.testing.ts';

/** Servers and services of one test file's own. */
export interface System {
  readonly servers: OwnServers;
  readonly environment: Environment;
  /** Starts one more instance and waits until it is ready. */
  start(name: ServiceName, more?: Environment): Promise<OwnService>;
  /** Starts one more instance without waiting. */
  launch(name: ServiceName, more?: Environment): Promise<OwnService>;
  /** Kills all instances of a service that still run, as a test that has failed leaves them. */
  end(name: ServiceName): Promise<void>;
  /** Stops all services and servers and removes their data. */
  close(): Promise<void>;
}

/**
 * Starts the three servers and runs the setups; services are up to the test.
 *
 * @param brokerPorts makes Kafka a cluster, which keeps a copy of everything on each broker.
 */
export async function startSystem(brokerPorts: readonly BrokerPorts[] = []): Promise<System> {
  const servers = await startServers(brokerPorts);
  // Jobs only where a test has somebody to do them.
  const environment: Environment = { NAMESPACE: 'faults', LOG_LEVEL: 'warn', ORDERS_JOBS: 'off' };
  if (brokerPorts.length > 0) environment['KAFKA_REPLICATION'] = String(brokerPorts.length);
  for (const { variable, address } of [servers.postgres, servers.rabbitmq, servers.kafka])
    environment[variable] = address;
  const services: OwnService[] = [];
  const launch = async (name: ServiceName, more: Environment = {}) => {
    const service = await startService(name, { ...environment, ...more });
    services.push(service);
    return service;
  };
  try {
    await setUp(environment);
  } catch (error) {
    await servers.remove();
    throw error;
  }
  return {
    servers,
    environment,
    launch,
    start: async (name, more) => {
      const service = await launch(name, more);
      await service.untilReady();
      return service;
    },
    end: (name) => kill(services.filter((service) => service.name === name)),
    close: async () => {
      await kill(services);
      await servers.remove();
      removeLogs();
    },
  };
}

async function kill(services: readonly OwnService[]): Promise<void> {
  for (const service of services) service.kill('SIGKILL');
  await Promise.all(services.map(({ exited }) => exited));
}

/** Waits until a service has been killed, by itself (`crash-at.mjs`) or by the test. */
export async function untilKilled({ name, exited, log }: OwnService, where = 'its point'): Promise<void> {
  let exit: number | null | undefined;
  void exited.then((code) => (exit = code));
  await until(`${name} has died at ${where}`, () => exit !== undefined, { timeoutMs: 180_000, about: log });
  if (exit !== null) throw new Error(`${name} ended with ${exit} by itself:\n${log()}`);
}

/** One instance after another starts and dies, each at a point of its own code; see `crash-at.mjs`. */
export async function dieAt(
  system: System,
  name: ServiceName,
  points: readonly object[],
  { environment = {}, afterEach }: { environment?: Environment; afterEach?: () => Promise<void> } = {},
): Promise<void> {
  for (const point of points) {
    const dying = await system.launch(name, { ...environment, CRASH_AT: JSON.stringify({ call: 1, ...point }) });
    await untilKilled(dying, JSON.stringify(point));
    await afterEach?.();
  }
}
