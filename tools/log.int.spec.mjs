// @ts-check
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './folder.mjs';
import { client } from './servers/kafka.mjs';

const brokers = process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092';
const NAMESPACE = `log-test-${randomUUID().slice(0, 8)}`;
const topic = `${NAMESPACE}.order.events`;
const admin = client(brokers).admin();
const producer = client(brokers).producer({ allowAutoTopicCreation: false });
// Nx asks its children for colours. Times are in UTC wherever this runs.
const env = {
  ...process.env,
  NODE_OPTIONS: '',
  FORCE_COLOR: '0',
  TZ: 'America/New_York',
  KAFKA_BROKERS: brokers,
  NAMESPACE,
};

/** One record a minute. */
const timeOf = (/** @type {number} */ index) => new Date(Date.parse('2026-01-01T00:00:00Z') + index * 60_000);

/** @param {number} index */
const record = (index) => ({
  key: `order-${index % 10}`,
  value: `{"index":${index}}`,
  timestamp: String(timeOf(index).getTime()),
  headers: {
    ce_type: index % 3 === 0 ? 'order.placed.v1' : 'order.cancelled.v1',
    ce_id: `order-${index % 10}:${Math.floor(index / 10) + 1}`,
    ce_subject: `order-${index % 10}`,
    ce_time: timeOf(index).toISOString(),
  },
});

beforeAll(async () => {
  await Promise.all([admin.connect(), producer.connect()]);
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 3 }] });
  await producer.send({ topic, messages: Array.from({ length: 30 }, (_, index) => record(index)) });
});
afterAll(async () => {
  await admin.deleteTopics({ topics: [topic] });
  await Promise.all([producer.disconnect(), admin.disconnect()]);
});

/** @param {string[]} args @param {Record<string, string | undefined>} [more] */
function start(args, more = {}) {
  const child = spawn(process.execPath, [join(root, 'tools', 'log.mjs'), ...args], { env: { ...env, ...more } });
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += data));
  return { child, exited: once(child, 'close').then(([status]) => ({ status, stderr })) };
}

/** What it prints until it ends by itself. @param {string[]} args */
async function log(...args) {
  const { child, exited } = start(args);
  let stdout = '';
  child.stdout.on('data', (data) => (stdout += data));
  const { status, stderr } = await exited;
  return { status, stderr, lines: stdout.split('\n').filter((line) => line !== '') };
}

/** The indexes of the records printed as JSON. @param {string[]} args */
async function indexes(...args) {
  const { status, lines } = await log(...args, '--json');
  expect(status).toBe(0);
  return lines.map((line) => JSON.parse(line).value.index).sort((a, b) => a - b);
}
const upTo = (/** @type {number} */ count) => Array.from({ length: count }, (_, index) => index);

describe('npm run log', () => {
  it('prints everything from the beginning, each partition in its order, and stops at the end', async () => {
    const { status, lines } = await log('--from-beginning');
    expect(status).toBe(0);
    expect(lines).toHaveLength(30);
    for (const line of lines)
      expect(line).toMatch(
        /^\d@\d+ {2}order-\d {2}order\.(placed|cancelled)\.v1 {2}2026-01-01T00:\d\d:00\.000Z {2}\{"index":\d+\}$/,
      );
    for (const partition of ['0', '1', '2']) {
      const offsets = lines.flatMap((line) => (line.startsWith(`${partition}@`) ? [parseInt(line.slice(2))] : []));
      expect(offsets).toEqual(upTo(offsets.length));
    }
  });

  it('prints JSON lines with all that a record has', async () => {
    const { lines } = await log('--from-beginning', '--filter', 'id=order-4:2', '--json');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        partition: expect.any(Number),
        offset: expect.stringMatching(/^\d+$/),
        key: 'order-4',
        type: 'order.cancelled.v1',
        time: '2026-01-01T00:14:00.000Z',
        headers: record(14).headers,
        value: { index: 14 },
      },
    ]);
  });

  it('shows what passes all filters: a type in all its versions, a key, any header', async () => {
    const placed = upTo(30).filter((index) => index % 3 === 0);
    expect(await indexes('--from-beginning', '--filter', 'type=order.placed')).toEqual(placed);
    expect(await indexes('--from-beginning', '--filter', 'type=order.placed.v1')).toEqual(placed);
    expect(await indexes('--from-beginning', '--filter', 'type=order.placed.v2')).toEqual([]);
    expect(await indexes('--from-beginning', '--filter', 'key=order-5')).toEqual([5, 15, 25]);
    expect(await indexes('--from-beginning', '--filter', 'order=order-6', '--filter', 'type=order.placed')).toEqual([
      6,
    ]);
    expect(await indexes('--from-beginning', '--filter', 'ce_time=2026-01-01T00:07:00.000Z')).toEqual([7]);
  });

  it('shows one order, in its order', async () => {
    const { lines } = await log('--order', 'order-4', '--json');
    expect(lines.map((line) => JSON.parse(line).value.index)).toEqual([4, 14, 24]);
  });

  it('begins at a time, in UTC unless it says otherwise, with what was published then', async () => {
    const last = upTo(30).filter((index) => index >= 20);
    for (const time of ['2026-01-01T00:20:00Z', '2026-01-01T01:20:00+01:00', '2026-01-01 00:19:30', '2026-01-01T00:20'])
      expect([time, await indexes('--time', time)]).toEqual([time, last]);
    expect(await indexes('--time', '2026-01-01')).toEqual(upTo(30));
    expect(await indexes('--time', '2026-01-02')).toEqual([]);
  });

  it('begins at an offset of each partition, or of one', async () => {
    const { lines } = await log('--offset', '5');
    expect(lines.length).toBeGreaterThan(0);
    const offsets = lines.map((line) => parseInt(line.slice(2)));
    expect(Math.min(...offsets)).toBe(5);
    const ends = await admin.fetchTopicOffsets(topic);
    expect(offsets).toHaveLength(ends.reduce((sum, { high }) => sum + Math.max(0, Number(high) - 5), 0));
    const { lines: ofOne } = await log('--offset', '5', '--partition', '1');
    expect(ofOne).toEqual(lines.filter((line) => line.startsWith('1@')));
  });

  it('says so when there is nothing where it begins', async () => {
    expect(await log()).toMatchObject({
      status: 0,
      lines: [],
      stderr: expect.stringContaining('--from-beginning prints what it holds'),
    });
  });

  it('follows what comes, from where it began, until it is interrupted', async () => {
    const order = `order-${randomUUID()}`;
    const { child, exited } = start(['--order', order, '--follow', '--json']);
    const printed = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await printed.next()).value ?? '{}').value;
    const headers = { ce_type: 'order.placed.v1', ce_subject: order };
    for (const index of [100, 101]) {
      await producer.send({ topic, messages: [{ key: order, value: `{"index":${index}}`, headers }] });
      expect(await next()).toEqual({ index });
    }
    child.kill('SIGINT');
    expect(await exited).toEqual({ status: 0, stderr: '' });
  });

  it('ends without a word when its reader has had enough', async () => {
    const { child, exited } = start(['--from-beginning', '--follow']);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    await producer.send({ topic, messages: [record(30)] });
    expect(await exited).toEqual({ status: 0, stderr: '' });
  });

  it('says what to do when something is wrong', async () => {
    const wrong = /** @type {const} */ ([
      [['--topic', 'nope'], 'There are: '],
      [['--offset', 'x'], '--offset takes a number'],
      [['--time', 'yesterday'], '--time takes a time such as'],
      [['--time', '01/02/2026'], '--time takes a time such as'],
      [['--filter', 'type'], '--filter takes NAME=VALUE'],
      [['--partition', '3'], 'has no partition 3: it has 3'],
      [['--order', 'a', '--partition', '1'], 'an order has its own partition'],
      [['--from-beginning', '--offset', '1'], 'cannot both say where to begin'],
      [['--from-begining'], "Unknown option '--from-begining'"],
    ]);
    for (const [args, message] of wrong) {
      const { status, stderr, lines } = await log(...args);
      expect([args, status, lines]).toEqual([args, 1, []]);
      expect(stderr).toContain(message);
    }
    const { exited } = start([], { KAFKA_BROKERS: '127.0.0.1:1' });
    expect(await exited).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('npm start, or set KAFKA_BROKERS'),
    });
  });
});
