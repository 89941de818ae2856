import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import {
  PARKED_CONTENT_BYTES_MAX,
  PARKED_KEPT_BYTES_MAX,
  parkedIdOf,
  parkedRowOf,
  type DropParked,
  type ListParked,
  type ListParkedReply,
  type ParkedAct,
  type ParkedDetails,
  type ParkedMessage,
  type ParkedOutcome,
  type ParkedService,
  type ParkedState,
  type RedriveParked,
} from '@tandem/contracts/parked';
import { storableText } from '@tandem/contracts/text';
import { firstAccepted, transaction } from '@tandem/postgres/transaction';
import { connect, type ChannelModel, type ConfirmChannel, type MessageProperties } from 'amqplib';
import type { Pool, PoolClient } from 'pg';
import { within } from './connection.ts';
import { OutcomeUnknownError, UnavailableError } from './errors.ts';
import { Parked } from './parked.controller.ts';
import type { UnreadableMessage } from './rabbitmq-server.ts';
import { BATCH_CONTENT_TYPE, readRequest, readTraceparent } from './wire.ts';

/** A message to be parked, with what is known of its former tries, which may be anything that somebody wrote into headers. */
export interface MessageToPark extends UnreadableMessage {
  orderId?: string | undefined;
  /** What it asks for. */
  type?: string | undefined;
  attempts?: number | undefined;
  firstFailedAt?: string | undefined;
  traceparent?: unknown;
}

/**
 * The table of a service, with the columns id, queue, reason, content, properties, order_id, type, attempts, first_failed_at,
 * traceparent, parked_at, settled_as, settled_at, whole_bytes, whole_sha256.
 */
export type ParkedTable = 'parked' | 'parked_messages';

/** A parked message as it goes back to its queue. */
export interface Redrivable {
  content: Buffer;
  contentType: string;
  headers: Record<string, unknown>;
}

type Redriving = Redrivable | { refused: string };

export interface ParkedMessagesOptions {
  /** Of the database with the table and `parked_acts`. */
  pool: Pool;
  service: ParkedService;
  table: ParkedTable;
  /** `amqp://user:password@host:port`, for redriving. */
  url: string;
  /**
   * What goes back to the queue, or why nothing does. Requests without their callers unless set. What it does by itself is
   * done before the message is published, and again when that is repeated.
   */
  toRedrivable?: (message: Pick<UnreadableMessage, 'content' | 'properties'>) => Redriving | Promise<Redriving>;
  /** Takes back what `toRedrivable` did by itself, before a message is dropped: its redrive may have failed. */
  beforeDrop?: (row: bigint, content: Buffer) => Promise<void>;
}

/** Messages that were taken off their RabbitMQ queues and are kept as rows, with what was done with each. */
export class ParkedMessages extends Parked {
  readonly #options: ParkedMessagesOptions;
  readonly #pool: Pool;
  readonly #table: ParkedTable;

  constructor(options: ParkedMessagesOptions) {
    super();
    this.#options = options;
    this.#pool = options.pool;
    this.#table = options.table;
  }

  /** Keeps a message, before it is taken off its queue. Fails only while the database is away, never because of the message. */
  async park(message: MessageToPark): Promise<void> {
    await transaction(this.#pool, (client) => insertParked(client, this.#table, message));
  }

  /** How many wait. */
  async waiting(): Promise<number> {
    const { rows } = await this.#pool.query<{ count: bigint }>({
      name: 'count-parked-messages',
      text: `select count(*) from ${this.#table} where settled_as is null`,
    });
    return Number(rows[0]?.count ?? 0n);
  }

  async list({ filter, limit, before }: ListParked): Promise<ListParkedReply> {
    const { state = 'parked', source, orderId } = filter;
    const { rows } = await this.#pool.query<MessageRow>({
      name: `list-${state}-messages`,
      text: `select ${COLUMNS} from ${this.#table}
              where ${STATE_IS[state]}
                and ($1::text is null or queue = $1) and ($2::text is null or order_id = $2)
                and ($3::bigint is null or id < $3)
              order by id desc limit $4`,
      values: [
        source ?? null,
        orderId ?? null,
        before === undefined ? null : (parkedRowOf(this.#options.service, before) ?? 0n),
        limit + 1,
      ],
    });
    return { parked: rows.slice(0, limit).map((row) => this.#message(row)), more: rows.length > limit };
  }

  async show(id: string): Promise<ParkedDetails | null> {
    const { rows } = await this.#pool.query<MessageRow & ContentStart & { properties: MessageProperties }>({
      name: 'show-parked-message',
      text: `select ${COLUMNS}, properties, ${contentStart('content')} from ${this.#table} where id = $1`,
      values: [this.#row(id)],
    });
    const [row] = rows;
    if (row === undefined) return null;
    const headers = Object.fromEntries(
      Object.entries(row.properties).filter(([, value]) => value !== undefined && value !== null),
    );
    const acts = await readActs(this.#pool, row.id);
    return { ...this.#message(row), headers, content: contentOf(row), acts };
  }

  async redrive({ ids, by, reason }: RedriveParked): Promise<ParkedOutcome[]> {
    const rows = parkedRows(this.#options.service, ids);
    const outcomes = new Map<string, ParkedOutcome>();
    let publisher: Publisher | undefined;
    try {
      for (const [id, row] of rows) {
        const found = row === undefined ? undefined : await this.#read(id);
        if (found === undefined) outcomes.set(id, { id, outcome: 'not_found' });
        else if (found.settled_as !== null) outcomes.set(id, { id, outcome: 'settled', state: found.settled_as });
        else {
          const { queue } = found;
          const message = await this.#redrivable(found.id);
          if ('refused' in message) {
            await recordAct(this.#pool, found.id, { act: 'redrive', by, reason, detail: message.refused });
            outcomes.set(id, { id, outcome: 'refused', detail: message.refused });
            continue;
          }
          publisher ??= await Publisher.open(this.#options.url, `${this.#options.service} redrives`);
          if (await publisher.publish(queue, message)) {
            await this.#redriven(found.id, by, reason).catch((cause: unknown) => {
              throw new OutcomeUnknownError(`${id} is on its queue again, and may count as parked`, { cause });
            });
            outcomes.set(id, { id, outcome: 'done' });
          } else {
            const detail = `no queue ${queue} takes it`;
            await recordAct(this.#pool, found.id, { act: 'redrive', by, reason, detail });
            outcomes.set(id, { id, outcome: 'refused', detail });
          }
        }
      }
    } catch (error) {
      throw afterOutcomes(outcomes, error);
    } finally {
      await publisher?.close();
    }
    return ids.map((id) => outcomes.get(id) as ParkedOutcome);
  }

  async drop({ id, by, reason }: DropParked): Promise<ParkedOutcome> {
    await this.#beforeDrop(this.#row(id));
    const { rowCount } = await this.#pool.query({
      name: 'drop-parked-message',
      text: `with settled as (
               update ${this.#table} set settled_as = 'dropped', settled_at = now()
                where id = $1 and settled_as is null returning id
             )
             insert into parked_acts (parked_id, act, outcome, subject, reason)
             select id, 'drop', 'done', $2, $3 from settled`,
      values: [this.#row(id), by, reason],
    });
    if (rowCount === 1) return { id, outcome: 'done' };
    const row = await this.#read(id);
    return row?.settled_as ? { id, outcome: 'settled', state: row.settled_as } : { id, outcome: 'not_found' };
  }

  async #beforeDrop(row: bigint): Promise<void> {
    const { beforeDrop } = this.#options;
    if (beforeDrop === undefined) return;
    const { rows } = await this.#pool.query<{ content: Buffer }>({
      name: 'read-message-to-drop',
      text: `select content from ${this.#table} where id = $1 and settled_as is null and whole_bytes is null`,
      values: [row],
    });
    if (rows[0] !== undefined) await beforeDrop(row, rows[0].content);
  }

  /** After the broker has it. It was published though somebody may have dropped it at this moment: the act says so. */
  async #redriven(row: bigint, by: string, reason: string | undefined): Promise<void> {
    await this.#pool.query({
      name: 'redriven-parked-message',
      text: `with settled as (
               update ${this.#table} set settled_as = 'redriven', settled_at = now()
                where id = $1 and settled_as is null
             )
             insert into parked_acts (parked_id, act, outcome, subject, reason) values ($1, 'redrive', 'done', $2, $3)`,
      values: [row, by, reason ?? null],
    });
  }

  async #read(id: string): Promise<MessageRow | undefined> {
    const { rows } = await this.#pool.query<MessageRow>({
      name: 'read-parked-message',
      text: `select ${COLUMNS} from ${this.#table} where id = $1`,
      values: [this.#row(id)],
    });
    return rows[0];
  }

  async #redrivable(row: bigint): Promise<Redriving> {
    const { rows } = await this.#pool.query<{
      content: Buffer | null;
      kept: number;
      whole: bigint;
      properties: MessageProperties;
    }>({
      name: 'read-whole-parked-message',
      text: `select case when whole_bytes is null then content end as content, octet_length(content) as kept,
                    whole_bytes as whole, properties
               from ${this.#table} where id = $1`,
      values: [row],
    });
    const { content, kept, whole, properties } = rows[0] as (typeof rows)[0];
    if (content === null) return { refused: `only the first ${kept} of its ${whole} bytes were kept` };
    return (this.#options.toRedrivable ?? redrivableRequest)({ content, properties });
  }

  #row(id: string): bigint {
    return parkedRowOf(this.#options.service, id) ?? 0n;
  }

  #message(row: MessageRow): ParkedMessage {
    return {
      id: parkedIdOf(this.#options.service, row.id),
      service: this.#options.service,
      broker: 'rabbitmq',
      source: row.queue,
      ...(row.order_id !== null && { orderId: row.order_id }),
      ...(row.type !== null && { type: row.type }),
      reason: row.reason,
      ...(row.attempts !== null && { attempts: row.attempts }),
      ...(row.first_failed_at !== null && { firstFailedAt: row.first_failed_at.toISOString() }),
      ...(row.traceparent !== null && { traceparent: row.traceparent }),
      parkedAt: row.parked_at.toISOString(),
      state: row.settled_as ?? 'parked',
    };
  }
}

/**
 * Writes the row of a parked message in the transaction of the caller, which goes on. No message makes it fail: what has no
 * place in a column is left out, and a large content is cut. If the database refuses the rest, the headers are not kept, and
 * at last nothing but where the message came from and why it is here.
 */
export async function insertParked(client: PoolClient, table: ParkedTable, message: MessageToPark): Promise<void> {
  const { content, properties } = message;
  const insert = (why: string, kept: Buffer, headers: object, about: Partial<MessageToPark>) => {
    const isCut = kept.length < content.length;
    return client.query({
      name: 'park-message',
      text: `insert into ${table}
               (queue, reason, content, properties, order_id, type, attempts, first_failed_at, traceparent,
                whole_bytes, whole_sha256)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      values: [
        message.queue,
        why,
        kept,
        JSON.stringify(headers),
        storableOrNull(about.orderId),
        storableOrNull(about.type),
        storableCount(about.attempts),
        storableTime(about.firstFailedAt),
        readTraceparent(about.traceparent) ?? null,
        isCut ? content.length : null,
        isCut ? hash('sha256', content, 'buffer') : null,
      ],
    });
  };
  const reason = storableText(message.reason, REASON_LENGTH_MAX);
  const start = content.subarray(0, PARKED_KEPT_BYTES_MAX);
  await firstAccepted(client, [
    () => insert(reason, start, properties, message),
    (refusal) => insert(`${reason}; its headers were not kept: ${refusal}`, start, {}, {}),
    (refusal) => insert(`${reason}; nothing of it was kept: ${refusal}`, Buffer.alloc(0), {}, {}),
  ]);
}

const REASON_LENGTH_MAX = 500;
const ABOUT_LENGTH_MAX = 200;
const INTEGER_MAX = 2_147_483_647;
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00.000Z');
const LATEST_MS = Date.parse('9999-12-31T23:59:59.999Z');

function storableOrNull(text: string | undefined): string | null {
  return text === undefined ? null : storableText(text, ABOUT_LENGTH_MAX);
}

function storableCount(count: number | undefined): number | null {
  return Number.isInteger(count) && (count as number) > 0 ? Math.min(count as number, INTEGER_MAX) : null;
}

/** PostgreSQL has no year 0, and JavaScript writes one past 9999 in a way of its own. */
function storableTime(time: string | undefined): string | null {
  const ms = Date.parse(time ?? '');
  return ms >= EARLIEST_MS && ms <= LATEST_MS ? new Date(ms).toISOString() : null;
}

/**
 * The request again, as an event: whoever asked has stopped waiting. What could not be read before is refused, unless its
 * reader has been mended since.
 */
export function redrivableRequest({
  content,
  properties,
}: Pick<UnreadableMessage, 'content' | 'properties'>): Redriving {
  let reason = '';
  // What was parked may be one item of a batch, which stands alone now.
  for (const contentType of new Set([properties.contentType as unknown, 'application/json'])) {
    const reading = readRequest({ content, properties: { contentType } });
    const bad = 'items' in reading ? reading.items.find((item) => 'reason' in item) : undefined;
    if ('items' in reading && bad === undefined)
      return {
        content,
        contentType: contentType === BATCH_CONTENT_TYPE ? BATCH_CONTENT_TYPE : 'application/json',
        headers: {},
      };
    reason ||= 'unreadable' in reading ? reading.unreadable : (bad?.reason ?? '');
  }
  return { refused: `it still cannot be read: ${reason}` };
}

/** What is to be thrown where several are redriven, one after the other, and one fails: 'nothing was done' must not be said. */
export function afterOutcomes(before: ReadonlyMap<string, ParkedOutcome>, cause: unknown): unknown {
  const acted = [...before.values()].some(({ outcome }) => outcome === 'done' || outcome === 'refused');
  return acted ? new OutcomeUnknownError('Some were redriven before it failed', { cause }) : cause;
}

/** The beginning of a content, as much as is shown of it, and what it is the beginning of. */
export interface ContentStart {
  start: Buffer | null;
  kept: number | null;
  whole: bigint | null;
  sha256: string | null;
}

/** The columns of a `ContentStart`. */
export const contentStart = (column: string): string =>
  `substring(${column} from 1 for ${PARKED_CONTENT_BYTES_MAX}) as start, octet_length(${column}) as kept,
   whole_bytes as whole, encode(whole_sha256, 'hex') as sha256`;

/** What is shown of a message's content. */
export function contentOf({ start, kept, whole, sha256 }: ContentStart): ParkedDetails['content'] {
  if (start === null || kept === null) return null;
  const bytes = Number(whole ?? kept);
  // A character may be cut in two where the beginning ends, which takes four bytes at most.
  const ends = start.length < bytes ? [0, 1, 2, 3] : [0];
  const text = ends.map((cut) => start.subarray(0, start.length - cut)).find(isUtf8);
  return {
    bytes,
    encoding: text === undefined ? 'base64' : 'utf-8',
    text: text?.toString('utf-8') ?? start.toString('base64'),
    ...(sha256 !== null && { keptBytes: kept, sha256 }),
  };
}

/** What a state is in a table of parked messages: written out, so that the index of those that wait is used. */
export const STATE_IS = {
  parked: 'settled_as is null',
  redriven: "settled_as = 'redriven'",
  dropped: "settled_as = 'dropped'",
} as const satisfies Record<ParkedState, string>;

/** What was last done with a parked message, oldest first. */
export async function readActs(pool: Pool, row: bigint): Promise<ParkedAct[]> {
  const { rows } = await pool.query<{
    act: ParkedAct['act'];
    outcome: ParkedAct['outcome'];
    subject: string;
    reason: string | null;
    detail: string | null;
    at: Date;
  }>({
    name: 'parked-acts',
    text: `select act, outcome, subject, reason, detail, at
             from (select * from parked_acts where parked_id = $1 order by id desc limit 100) a order by id`,
    values: [row],
  });
  return rows.map(({ act, outcome, subject, reason, detail, at }) => ({
    act,
    outcome,
    by: subject,
    ...(reason !== null && { reason }),
    ...(detail !== null && { detail }),
    at: at.toISOString(),
  }));
}

/** Records that something was refused. */
export async function recordAct(
  pool: Pool,
  row: bigint,
  { act, by, reason, detail }: { act: ParkedAct['act']; by: string; reason?: string | undefined; detail: string },
): Promise<void> {
  await pool.query({
    name: 'record-refused-act',
    text: `insert into parked_acts (parked_id, act, outcome, subject, reason, detail) values ($1, $2, 'refused', $3, $4, $5)`,
    values: [row, act, by, reason ?? null, storableText(detail, REASON_LENGTH_MAX)],
  });
}

/** The rows of ids, oldest first, each once. */
export function parkedRows(service: ParkedService, ids: readonly string[]): [string, bigint | undefined][] {
  const rows = [...new Set(ids)].map((id): [string, bigint | undefined] => [id, parkedRowOf(service, id)]);
  return rows.sort(([, one = 0n], [, other = 0n]) => (one < other ? -1 : one > other ? 1 : 0));
}

/** Without contents and headers, which may be large. */
const COLUMNS = 'id, queue, reason, order_id, type, attempts, first_failed_at, traceparent, parked_at, settled_as';

interface MessageRow {
  id: bigint;
  queue: string;
  reason: string;
  order_id: string | null;
  type: string | null;
  attempts: number | null;
  first_failed_at: Date | null;
  traceparent: string | null;
  parked_at: Date;
  settled_as: Exclude<ParkedState, 'parked'> | null;
}

const CONNECT_TIMEOUT_MS = 3_000;
const CONFIRM_TIMEOUT_MS = 3_000;
const CLOSE_TIMEOUT_MS = 1_000;

/** A connection for one redrive: rare enough to be opened each time. */
class Publisher {
  readonly #connection: ChannelModel;
  readonly #channel: ConfirmChannel;
  #returned = false;

  private constructor(connection: ChannelModel, channel: ConfirmChannel) {
    this.#connection = connection;
    this.#channel = channel;
    channel.on('return', () => (this.#returned = true));
  }

  /** @throws UnavailableError while RabbitMQ is away. */
  static async open(url: string, name: string): Promise<Publisher> {
    try {
      const connection = await connect(url, {
        timeout: CONNECT_TIMEOUT_MS,
        noDelay: true,
        clientProperties: { connection_name: name },
      });
      // What is lost shows in the confirm that does not come.
      connection.on('error', () => undefined);
      const channel = await connection.createConfirmChannel();
      channel.on('error', () => undefined);
      return new Publisher(connection, channel);
    } catch (error) {
      throw new UnavailableError('RabbitMQ is away', { cause: error });
    }
  }

  /**
   * Whether a queue has it, on disk.
   *
   * @throws OutcomeUnknownError without a confirm: it may be there nevertheless, and comes twice when it is redriven again.
   */
  async publish(queue: string, { content, ...properties }: Redrivable): Promise<boolean> {
    this.#returned = false;
    let confirmed = false;
    const confirm = new Promise<void>((resolve, reject) => {
      const options = { ...properties, persistent: true, mandatory: true };
      this.#channel.publish('', queue, content, options, (error) => (error ? reject(error as Error) : resolve()));
    }).then(() => (confirmed = true));
    await within(CONFIRM_TIMEOUT_MS, confirm);
    if (!confirmed) throw new OutcomeUnknownError('RabbitMQ did not confirm the message');
    // A returned message is confirmed too, after its return.
    return !this.#returned;
  }

  async close(): Promise<void> {
    await within(
      CLOSE_TIMEOUT_MS,
      Promise.resolve().then(() => this.#connection.close()),
    );
  }
}
