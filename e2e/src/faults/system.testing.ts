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
    close: async () => {
      for (const service of services) service.kill('SIGKILL');
      await Promise.all(services.map(({ exited }) => exited));
      await servers.remove();
      removeLogs();
    },
  };
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
    let exit: number | null | undefined;
    void dying.exited.then((code) => (exit = code));
    const hasDied = () => exit !== undefined;
    await until(`${name} has died at ${JSON.stringify(point)}`, hasDied, { timeoutMs: 180_000, about: dying.log });
    if (exit !== null) throw new Error(`${name} ended with ${exit} by itself:\n${dying.log()}`);
    await afterEach?.();
  }
}
