// @ts-check
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { root } from './folder.mjs';
import { client } from './servers/kafka.mjs';

const brokers = process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092';
const NAMESPACE = `log-test-${randomUUID().slice(0, 8)}`;
const topic = `${NAMESPACE}.order.events`;
const admin = client(brokers).admin();

beforeAll(async () => {
  await admin.connect();
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 3 }] });
  const producer = client(brokers).producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const messages = Array.from({ length: 30 }, (_, index) => ({
    key: `order-${index % 10}`,
    value: `{"index":${index}}`,
    headers: { ce_type: index % 3 === 0 ? 'order.placed.v1' : 'order.cancelled.v1' },
  }));
  await producer.send({ topic, messages });
  await producer.disconnect();
});
afterAll(async () => {
  await admin.deleteTopics({ topics: [topic] });
  await admin.disconnect();
});

/** @param {string[]} args */
function log(...args) {
  // Nx asks its children for colours.
  const env = { ...process.env, NODE_OPTIONS: '', FORCE_COLOR: '0', KAFKA_BROKERS: brokers, NAMESPACE };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'tools', 'log.mjs'), ...args], {
    env,
    encoding: 'utf8',
    timeout: 50_000,
  });
  return { status, stderr, lines: stdout.split('\n').filter((line) => line !== '') };
}

describe('npm run log', () => {
  it('prints everything from the beginning and stops at the end', () => {
    const { status, lines } = log('--from-beginning', '--json');
    expect(status).toBe(0);
    const indexes = lines.map((line) => JSON.parse(line).value.index).sort((a, b) => a - b);
    expect(indexes).toEqual(Array.from({ length: 30 }, (_, index) => index));
  });

  it('shows what a filter lets through, a type in all its versions', () => {
    const { lines } = log('--from-beginning', '--filter', 'type=order.placed');
    expect(lines).toHaveLength(10);
    for (const line of lines) expect(line).toMatch(/^\d@\d+ {2}order-\d {2}order\.placed\.v1 {2}20.*"index"/);
  });

  it('shows one order, in its order', () => {
    const { lines } = log('--order', 'order-4', '--json');
    expect(lines.map((line) => JSON.parse(line).value.index)).toEqual([4, 14, 24]);
  });

  it('says what to do when something is wrong', () => {
    expect(log('--topic', 'nope')).toMatchObject({ status: 1, stderr: expect.stringContaining(`There are: `) });
    expect(log('--offset', 'x')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('--offset takes a number'),
    });
  });
});
