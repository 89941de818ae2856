// @ts-check
// `npm run log`: the log in your hands. Prints what lies in a topic, as lines or as JSON.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { runCommand } from './command.mjs';
import { folder } from './folder.mjs';
import { loadDotEnv, namespaceOf } from './options.mjs';
import { StepFailed } from './steps.mjs';

const USAGE = `npm run log -- [--topic order.events] [where to begin] [what to show] [--follow] [--json]

Prints each partition in its order, up to the end that the log had when it was asked.

Where to begin (at the end of the log, unless said):
  --from-beginning      with the first record
  --offset N            with this offset of each partition, or of --partition
  --time 2026-01-01T00:00:00Z   with the first record published then or later; in UTC, unless an offset is given
What to show:
  --order ID            one order's records, read from its partition only; from the beginning, unless said
  --partition N         one partition only
  --filter NAME=VALUE   where type, key, id or a header is that; may be given several times
  --follow              goes on with what comes, until Ctrl-C
  --json                one JSON object a line, with all headers

npm run log -- --from-beginning --filter type=order.placed
npm run log -- --follow --json`;

const NAMES = /** @type {const} */ ({ type: 'ce_type', id: 'ce_id', order: 'ce_subject', time: 'ce_time' });
const text = { type: /** @type {const} */ ('string') };
const flag = { type: /** @type {const} */ ('boolean') };

/** @typedef {{ offset: bigint, key: string | null, value: Buffer | null, headers: Record<string, string>, timestamp: Date }} LogRecord */
/** @typedef {{ topic: string, 'from-beginning'?: boolean, offset?: string, time?: string, order?: string, partition?: string, filter?: string[], follow?: boolean, json?: boolean }} Values */

// Whoever reads has enough: `npm run log | head`.
process.stdout.on('error', (error) => {
  if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EPIPE') process.exit(0);
  throw error;
});

const options = {
  topic: { ...text, default: 'order.events' },
  'from-beginning': flag,
  ...{ offset: text, time: text, order: text, partition: text },
  filter: { ...text, multiple: true },
  ...{ follow: flag, json: flag },
};
await runCommand({ usage: USAGE, options, packages: 'check' }, ({ values }) => main(checked(values)));

/** @param {Values} values */
async function main(values) {
  const filters = (values.filter ?? []).map(readFilter);
  // What `npm start` found, unless the environment says otherwise.
  if (existsSync(join(folder, 'env'))) process.loadEnvFile(join(folder, 'env'));
  loadDotEnv();
  const namespace = namespaceOf(process.env);
  const topic = namespace === '' ? values.topic : `${namespace}.${values.topic}`;
  const brokers = (process.env['KAFKA_BROKERS'] || '127.0.0.1:9092').split(',');
  const { from, to } = await range(brokers, topic, values);
  if (!values.follow && [...to].every(([partition, end]) => end === from.get(partition)))
    console.error('! The log ends where this begins. --from-beginning prints what it holds, --follow what comes.');
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  process.once('SIGTERM', () => stop.abort());
  await import(new URL('ts-hooks.mjs', import.meta.url).href);
  const { readingClient, readLog } = await import(
    new URL('../libs/transports/src/kafka/read-log.ts', import.meta.url).href
  );
  await readLog({
    kafka: readingClient(brokers, 'tandem-log'),
    topic,
    from,
    ...(values.follow ? {} : { to }),
    signal: stop.signal,
    /** @param {{ partition: number, records: LogRecord[] }} batch */
    onBatch: async ({ partition, records }) => {
      const shown = records.filter(
        (record) =>
          (values.order === undefined || record.key === values.order) && filters.every((matches) => matches(record)),
      );
      if (shown.length === 0) return;
      const lines = shown.map((record) => (values.json ? json(partition, record) : line(partition, record)));
      if (!process.stdout.write(`${lines.join('\n')}\n`))
        await new Promise((resolve) => process.stdout.once('drain', resolve));
    },
  });
}

/** @param {Record<string, any>} values @returns {Values} */
function checked(values) {
  const wrong = (/** @type {string} */ message) => new StepFailed(`${message}\n\n${USAGE}`);
  const begins = ['from-beginning', 'offset', 'time'].filter((name) => name in values);
  if (begins.length > 1) throw wrong(`--${begins.join(' and --')} cannot both say where to begin.`);
  for (const name of /** @type {const} */ (['offset', 'partition']))
    if (values[name] !== undefined && !/^\d{1,18}$/.test(values[name]))
      throw wrong(`--${name} takes a number; not ${values[name]}`);
  if (values.order !== undefined && values.partition !== undefined)
    throw wrong('--order and --partition: an order has its own partition.');
  if (values.time !== undefined && Number.isNaN(timeOf(values.time)))
    throw wrong(`--time takes a time such as 2026-01-01T00:00:00Z; not ${values.time}`);
  return /** @type {Values} */ (values);
}

/** In milliseconds; NaN if it is none. What has no offset is in UTC. @param {string} time */
function timeOf(time) {
  const [, date, clock, offset = 'Z'] =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:\d{2})?)?$/i.exec(time) ?? [];
  return Date.parse(clock === undefined ? `${date}` : `${date}T${clock}${offset}`);
}

/** `type=order.placed` means every version of it. @param {string} filter @returns {(record: LogRecord) => boolean} */
function readFilter(filter) {
  const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(filter) ?? [];
  if (name === '') throw new StepFailed(`--filter takes NAME=VALUE; not ${filter}\n\n${USAGE}`);
  if (name === 'key') return ({ key }) => key === value;
  const header = Object.hasOwn(NAMES, name) ? NAMES[/** @type {keyof typeof NAMES} */ (name)] : name;
  return ({ headers }) => {
    const found = headers[header];
    return found === value || (name === 'type' && found?.replace(/\.v\d+$/, '') === value);
  };
}

/**
 * Where each partition begins and ends.
 *
 * @param {string[]} brokers @param {string} topic @param {Values} values
 * @returns {Promise<{ from: Map<number, bigint>, to: Map<number, bigint> }>}
 */
async function range(brokers, topic, values) {
  const { client } = await import('./servers/kafka.mjs');
  const admin = client(brokers.join(',')).admin();
  try {
    await admin.connect().catch((error) => {
      throw new StepFailed(
        `Kafka does not answer at ${brokers.join(', ')}: npm start, or set KAFKA_BROKERS`,
        error.message,
      );
    });
    const offsets = await admin.fetchTopicOffsets(topic).catch(async () => {
      const names = (await admin.listTopics()).filter((name) => !name.startsWith('__')).sort();
      throw new StepFailed(
        `There is no topic ${topic}. There are: ${names.join(', ') || 'none'}`,
        'NAMESPACE is its prefix.',
      );
    });
    const times = values.time === undefined ? [] : await admin.fetchTopicOffsetsByTimestamp(topic, timeOf(values.time));
    const wanted =
      values.order !== undefined
        ? await partitionOf(values.order, offsets.length)
        : values.partition !== undefined
          ? Number(values.partition)
          : undefined;
    const from = new Map();
    const to = new Map();
    for (const { partition, low, high } of offsets) {
      if (wanted !== undefined && partition !== wanted) continue;
      const time = times.find((one) => one.partition === partition)?.offset;
      const asked = values.offset ?? (time === '-1' ? high : time);
      const begins = values['from-beginning'] || values.order !== undefined ? low : high;
      const start = BigInt(asked ?? begins);
      from.set(partition, start < BigInt(low) ? BigInt(low) : start > BigInt(high) ? BigInt(high) : start);
      to.set(partition, BigInt(high));
    }
    if (from.size === 0) throw new StepFailed(`${topic} has no partition ${wanted}: it has ${offsets.length}.`);
    return { from, to };
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/** Kafka's own partition of a key. @param {string} key @param {number} partitions */
async function partitionOf(key, partitions) {
  const { Partitioners } = (await import('kafkajs')).default;
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => {
    return { partitionId, partitionErrorCode: 0, leader: 0, replicas: [], isr: [] };
  });
  return Partitioners.DefaultPartitioner()({ topic: '', partitionMetadata, message: { key, value: null } });
}

/** @param {number} partition @param {LogRecord} record */
function line(partition, { offset, key, value, headers, timestamp }) {
  // A stranger's record may hold anything, the escape codes of a terminal too.
  const plain = (/** @type {string | undefined | null} */ part) => (part ?? '-').replaceAll(/\p{Cc}/gu, '\uFFFD');
  const place = styleText('dim', `${partition}@${offset}`, { stream: process.stdout });
  const type = styleText('cyan', plain(headers['ce_type']), { stream: process.stdout });
  return [place, plain(key), type, plain(headers['ce_time'] ?? timestamp.toISOString()), plain(value?.toString())].join(
    '  ',
  );
}

/** @param {number} partition @param {LogRecord} record */
function json(partition, { offset, key, value, headers, timestamp }) {
  const [type, time] = [headers['ce_type'] ?? null, headers['ce_time'] ?? timestamp.toISOString()];
  return JSON.stringify({ partition, offset: `${offset}`, key, type, time, headers, value: parsed(value) });
}

/** @param {Buffer | null} value */
function parsed(value) {
  if (value === null) return null;
  try {
    return JSON.parse(value.toString());
  } catch {
    return value.toString();
  }
}
