import { isUtf8 } from 'node:buffer';
import {
  PARKED_CONTENT_BYTES_MAX,
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
import { connect, type ChannelModel, type ConfirmChannel, type MessageProperties } from 'amqplib';
import type { Pool } from 'pg';
import { within } from './connection.ts';
import { OutcomeUnknownError, UnavailableError } from './errors.ts';
import { Parked } from './parked.controller.ts';
import type { UnreadableMessage } from './rabbitmq-server.ts';
import { BATCH_CONTENT_TYPE, readRequest } from './wire.ts';

/** A message to be parked, with what is known of its former tries. */
export interface MessageToPark extends UnreadableMessage {
  orderId?: string;
  /** What it asks for. */
  type?: string;
  attempts?: number;
  firstFailedAt?: Date;
  traceparent?: string;
}

/** A parked message as it goes back to its queue. */
export interface Redrivable {
  content: Buffer;
  contentType: string;
  headers: Record<string, unknown>;
}

export interface ParkedMessagesOptions {
  /** Of the database with the table and `parked_acts`. */
  pool: Pool;
  service: ParkedService;
  /**
   * Has the columns id, queue, reason, content, properties, order_id, type, attempts, first_failed_at, traceparent,
   * parked_at, settled_as, settled_at.
   */
  table: 'parked' | 'parked_messages';
  /** `amqp://user:password@host:port`, for redriving. */
  url: string;
  /** What goes back to the queue, or why nothing does. Requests without their callers unless set. */
  toRedrivable?: (message: Pick<UnreadableMessage, 'content' | 'properties'>) => Redrivable | { refused: string };
}

/** Messages that were taken off their RabbitMQ queues and are kept as rows, with what was done with each. */
export class ParkedMessages extends Parked {
  readonly #options: ParkedMessagesOptions;
  readonly #pool: Pool;
  readonly #table: string;

  constructor(options: ParkedMessagesOptions) {
    super();
    this.#options = options;
    this.#pool = options.pool;
    this.#table = options.table;
  }

  /** Keeps a message, before it is taken off its queue. */
  async park(message: MessageToPark): Promise<void> {
    const { queue, reason, content, properties, orderId, type, attempts, firstFailedAt, traceparent } = message;
    await this.#pool.query({
      name: 'park-message',
      text: `insert into ${this.#table}
               (queue, reason, content, properties, order_id, type, attempts, first_failed_at, traceparent)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      values: [
        queue,
        storable(reason),
        content,
        JSON.stringify(properties),
        orderId ?? null,
        type ?? null,
        attempts ?? null,
        firstFailedAt ?? null,
        traceparent ?? null,
      ],
    });
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
    const { rows } = await this.#pool.query<MessageRow>({
      name: 'list-parked-messages',
      text: `select ${COLUMNS} from ${this.#table}
              where (case when $1::text = 'parked' then settled_as is null else settled_as = $1 end)
                and ($2::text is null or queue = $2) and ($3::text is null or order_id = $3)
                and ($4::bigint is null or id < $4)
              order by id desc limit $5`,
      values: [
        filter.state ?? 'parked',
        filter.source ?? null,
        filter.orderId ?? null,
        before === undefined ? null : (parkedRowOf(this.#options.service, before) ?? 0n),
        limit + 1,
      ],
    });
    return { parked: rows.slice(0, limit).map((row) => this.#message(row)), more: rows.length > limit };
  }

  async show(id: string): Promise<ParkedDetails | null> {
    const row = await this.#read(id);
    if (row === undefined) return null;
    const headers = Object.fromEntries(
      Object.entries(row.properties).filter(([, value]) => value !== undefined && value !== null),
    );
    const acts = await readActs(this.#pool, row.id);
    return { ...this.#message(row), headers, content: contentOf(row.content), acts };
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
          const { content, properties, queue } = found;
          const message = (this.#options.toRedrivable ?? redrivableRequest)({ content, properties });
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
    const { rowCount } = await this.#pool.query({
      name: 'drop-parked-message',
      text: `with settled as (
               update ${this.#table} set settled_as = 'dropped', settled_at = now()
                where id = $1 and settled_as is null returning id
             )
             insert into parked_acts (parked_id, act, outcome, subject, reason)
             select id, 'drop', 'done', $2, $3 from settled`,
      values: [parkedRowOf(this.#options.service, id) ?? 0n, by, reason],
    });
    if (rowCount === 1) return { id, outcome: 'done' };
    const row = await this.#read(id);
    return row?.settled_as ? { id, outcome: 'settled', state: row.settled_as } : { id, outcome: 'not_found' };
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
      name: 'show-parked-message',
      text: `select ${COLUMNS} from ${this.#table} where id = $1`,
      values: [parkedRowOf(this.#options.service, id) ?? 0n],
    });
    return rows[0];
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
 * The request again, as an event: whoever asked has stopped waiting. What could not be read before is refused, unless its
 * reader has been mended since.
 */
export function redrivableRequest({
  content,
  properties,
}: Pick<UnreadableMessage, 'content' | 'properties'>): Redrivable | { refused: string } {
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

/** What is shown of a message's content. */
export function contentOf(content: Buffer | null): ParkedDetails['content'] {
  if (content === null) return null;
  const encoding = isUtf8(content) ? 'utf-8' : 'base64';
  const text = content.subarray(0, PARKED_CONTENT_BYTES_MAX).toString(encoding);
  return { bytes: content.length, encoding, text };
}

/** What was done with a parked message, oldest first. */
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
    text: 'select act, outcome, subject, reason, detail, at from parked_acts where parked_id = $1 order by id limit 100',
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
    values: [row, act, by, reason ?? null, storable(detail)],
  });
}

/** The rows of ids, oldest first, each once. */
export function parkedRows(service: ParkedService, ids: readonly string[]): [string, bigint | undefined][] {
  const rows = [...new Set(ids)].map((id): [string, bigint | undefined] => [id, parkedRowOf(service, id)]);
  return rows.sort(([, one = 0n], [, other = 0n]) => (one < other ? -1 : one > other ? 1 : 0));
}

/** PostgreSQL stores no NUL, and a reason may quote what somebody wrote. */
const storable = (text: string): string => text.slice(0, 500).toWellFormed().replaceAll('\u0000', '\uFFFD');

const COLUMNS = `id, queue, reason, content, properties, order_id, type, attempts, first_failed_at, traceparent, parked_at,
                 settled_as`;

interface MessageRow {
  id: bigint;
  queue: string;
  reason: string;
  content: Buffer;
  properties: MessageProperties;
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
