import { chmodSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { remove } from '@tandem/tools/folder.mjs';
import { lastingPorts } from '@tandem/tools/ports.mjs';
import { family, identify, isAlive } from '@tandem/tools/processes.mjs';
import { nativeRunning, resolve, servers, type Context, type Server } from '@tandem/tools/servers.mjs';
import { cluster } from '@tandem/tools/servers/kafka.mjs';
import { newFolder } from './services.testing.ts';

/** A server of this test's own, which may be killed, stopped and paused as if it were a machine. */
export interface OwnServer {
  readonly name: Server['name'];
  /** The variable that services read its address from. */
  readonly variable: string;
  readonly address: string;
  /** `kill -9` of the server and all its children. */
  kill(): void;
  /** An orderly stop. */
  stop(): Promise<void>;
  /** Starts it again, on the same data and port. Resolves when it answers. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  /** Removes all that it has on its disk, once it is down. */
  wipe(): void;
}

export interface OwnServers {
  postgres: OwnServer;
  rabbitmq: OwnServer;
  /** All its brokers, as one. */
  kafka: OwnServer;
  /** Each broker of Kafka: one, unless more were asked for. */
  brokers: readonly OwnServer[];
  /** The controller of a cluster, apart from its brokers. */
  controller: OwnServer | undefined;
  /** Ends what still runs and removes all data. */
  remove(): Promise<void>;
}

/** Where a broker listens, and where it sends its clients: to the same port, or to a proxy in front of it. */
export interface BrokerPorts {
  port: number;
  advertisedPort: number;
}

/**
 * Starts the three servers on free ports, with their data in a folder of their own.
 *
 * @param brokerPorts makes Kafka a cluster of so many brokers; a single one unless set.
 */
export async function startServers(brokerPorts: readonly BrokerPorts[] = []): Promise<OwnServers> {
  const folder = newFolder('faults');
  chmodSync(folder, 0o755);
  const signal = new AbortController().signal;
  const contextIn = (folder: string): Context => {
    return { folder, logs: join(folder, 'logs'), project: 'none', says: () => undefined, signal };
  };
  const context = contextIn(folder);
  const folderOf = (index: number) => join(folder, `broker-${index + 1}`);
  const controllerFolder = join(folder, 'controller');
  const members = brokerPorts.length === 0 ? undefined : await cluster([...brokerPorts]);
  const single = servers.filter(({ name }) => members === undefined || name !== 'kafka');
  const ports = await lastingPorts(single.length);
  const atHome = single.map((server, index) => ({ ...server, standardPort: ports[index] as number }));
  const [started, brokers, controller] = await Promise.all([
    Promise.all(atHome.map((server) => own(server, context))),
    Promise.all(members?.brokers.map((server, index) => own(server, contextIn(folderOf(index)))) ?? []),
    members && own(members.controller, contextIn(controllerFolder)),
  ]);
  const byName = Object.fromEntries(started.map((server) => [server.name, server]));
  const { postgres, rabbitmq, kafka } = byName as Record<Server['name'], OwnServer>;
  return {
    postgres,
    rabbitmq,
    kafka: kafka ?? together(brokers),
    brokers: kafka === undefined ? brokers : [kafka],
    controller,
    remove: async () => {
      for (const server of [...started, ...brokers]) server.resume();
      const folders = [folder, ...brokers.map((_, index) => folderOf(index)), controllerFolder];
      for (const { stop } of folders.flatMap(nativeRunning)) await stop(AbortSignal.abort());
      remove(folder);
    },
  };
}

/** Several brokers as one server. */
function together(brokers: readonly OwnServer[]): OwnServer {
  const [{ name, variable }] = brokers as [OwnServer];
  const all = (work: (broker: OwnServer) => Promise<void>) => Promise.all(brokers.map(work)).then(() => undefined);
  return {
    name,
    variable,
    address: brokers.map(({ address }) => address).join(','),
    kill: () => brokers.forEach((broker) => broker.kill()),
    stop: () => all((broker) => broker.stop()),
    start: () => all((broker) => broker.start()),
    pause: () => brokers.forEach((broker) => broker.pause()),
    resume: () => brokers.forEach((broker) => broker.resume()),
    wipe: () => brokers.forEach((broker) => broker.wipe()),
  };
}

async function own(server: Server, context: Context): Promise<OwnServer> {
  let running = await resolve(server, 'native', context);
  let leader = identify(running.pid);
  // Each backend of Postgres leads a session of its own: the whole family is meant, not the group.
  const signalAll = (signal: NodeJS.Signals) => {
    // Its id may belong to somebody else once it has ended.
    if (leader === undefined || !isAlive(leader)) return;
    for (const { pid } of family(leader.pid)) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        // It has ended already.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  };
  return {
    name: server.name,
    variable: server.variable,
    address: running.address,
    kill: () => signalAll('SIGKILL'),
    stop: async () => running.stop?.(new AbortController().signal),
    start: async () => {
      running = await resolve(server, 'native', context);
      leader = identify(running.pid);
    },
    pause: () => signalAll('SIGSTOP'),
    resume: () => signalAll('SIGCONT'),
    wipe: () => {
      const home = join(context.folder, server.name);
      // What stays is no data of the server: which port it had.
      for (const name of readdirSync(home)) if (name !== 'server.json') remove(join(home, name));
    },
  };
}
