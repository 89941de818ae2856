// @ts-check
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { remove } from './folder.mjs';
import { isFree, lastingPorts } from './ports.mjs';
import { launch } from './processes.mjs';
import { resolve } from './servers.mjs';
import { clusterId } from './servers/kafka.mjs';
import { StartFailed, StepFailed } from './steps.mjs';

describe('the id of a new Kafka cluster', () => {
  // The storage tool takes such an id for an option: one start in 64 failed.
  it('never begins with a hyphen', () => {
    const ids = Array.from({ length: 5_000 }, clusterId);
    expect(ids.filter((id) => !/^[\w][\w-]{21}$/.test(id))).toEqual([]);
  });
});

describe('a server that does not start', () => {
  /** @type {string} */
  let place;
  beforeEach(() => (place = mkdtempSync(join(tmpdir(), 'tandem-start-'))));
  afterEach(() => remove(place));

  /**
   * Listens on a port, after as many failures as there are.
   *
   * @param {Error[]} failures
   * @returns {Promise<import('./servers.mjs').Resolved>}
   */
  async function start(...failures) {
    const [standardPort = 0] = await lastingPorts(1);
    const listen = `require('node:net').createServer().listen(${standardPort}, '127.0.0.1')`;
    /** @type {import('./servers.mjs').Server} */
    const server = {
      ...{ name: 'kafka', title: 'Kafka', variable: 'NONE', standardPort, ways: ['native'], stopSignal: 'SIGTERM' },
      standardAddresses: () => [],
      probe: async () => {
        if (await isFree(standardPort)) throw new Error('nothing listens');
      },
      launch: async () => {
        const failure = failures.shift();
        if (failure) throw failure;
        const { pid, state } = launch(process.execPath, ['-e', listen], { log: join(place, 'log') });
        const failed = () => (state.exited ? 'it ended' : undefined);
        return { way: 'native', address: `127.0.0.1:${standardPort}`, pid, failed };
      },
    };
    const signal = new AbortController().signal;
    return resolve(server, 'native', { folder: place, logs: place, project: 'none', says: () => undefined, signal });
  }

  it('is tried again once when the machine may be the cause', async () => {
    const running = await start(new StartFailed('no storage', 'out of memory'));
    await running.stop?.(new AbortController().signal);
    expect(running.pid).toBeDefined();
  });

  it('is given up after the second try, with the cause where a test report shows it', async () => {
    const starting = start(new StartFailed('no storage', 'first'), new StartFailed('no storage', 'out of memory'));
    await expect(starting).rejects.toMatchObject({ message: 'no storage', cause: { message: 'out of memory' } });
  });

  it('is not tried again when something is missing that a person has to install', async () => {
    await expect(start(new StepFailed('No JDK on this machine'))).rejects.toThrow('No JDK');
  });
});
