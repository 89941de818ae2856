import {
  parkedIdOf,
  parkedRowOf,
  type DropParked,
  type ListParked,
  type ListParkedReply,
  type ParkedDetails,
  type ParkedMessage,
  type ParkedOutcome,
  type ParkedState,
  type RedriveParked,
} from '@tandem/contracts/parked';
import { Parked } from '@tandem/transports/rabbitmq/parked.controller';
import {
  afterOutcomes,
  contentOf,
  contentStart,
  parkedRows,
  readActs,
  recordAct,
  STATE_IS,
  type ContentStart,
} from '@tandem/transports/rabbitmq/parked-messages';
import type { Pool } from 'pg';
import { drop, redrive } from '../consumer/redrive.ts';
import type { ParkedKey } from '../consumer/parking.ts';
import type { Projection } from '../projections/projection.ts';
import { OutdatedError } from '../projections/projection-versions.ts';

/** The parked records of the log: those of one order are redriven together, in the order of the log. */
export class ParkedRecords extends Parked {
  readonly #pool: Pool;
  readonly #topic: string;
  readonly #projections: readonly Projection[];

  constructor(pool: Pool, topic: string, projections: readonly Projection[]) {
    super();
    this.#pool = pool;
    this.#topic = topic;
    this.#projections = projections;
  }

  async list({ filter, limit, before }: ListParked): Promise<ListParkedReply> {
    const { state = 'parked', source, orderId } = filter;
    const { rows } = await this.#pool.query<RecordRow>({
      name: `list-${state}-records`,
      text: `select ${COLUMNS} from parked
              where ${STATE_IS[state]}
                and ($1::text is null or topic = $1) and ($2::text is null or order_id = $2)
                and ($3::bigint is null or id < $3)
              order by id desc limit $4`,
      values: [
        source ?? null,
        orderId ?? null,
        before === undefined ? null : (parkedRowOf('analytics', before) ?? 0n),
        limit + 1,
      ],
    });
    return { parked: rows.slice(0, limit).map(messageOf), more: rows.length > limit };
  }

  async show(id: string): Promise<ParkedDetails | null> {
    const { rows } = await this.#pool.query<RecordRow & ContentStart & { headers: Record<string, string> }>({
      name: 'show-parked-record',
      text: `select ${COLUMNS}, headers, ${contentStart('value')} from parked where id = $1`,
      values: [rowOf(id)],
    });
    const [row] = rows;
    if (row === undefined) return null;
    const acts = await readActs(this.#pool, row.id);
    return { ...messageOf(row), headers: row.headers, content: contentOf(row), acts };
  }

  async redrive({ ids, by, reason }: RedriveParked): Promise<ParkedOutcome[]> {
    const outcomes = new Map<string, ParkedOutcome>();
    const rows = new Map<string, RecordRow | undefined>();
    for (const [id] of parkedRows('analytics', ids)) rows.set(id, await this.#read(id));
    // Several ids of one order are one redrive.
    const leftBecause = new Map<string, string>();
    try {
      for (const [id, row] of rows) {
        if (row === undefined) outcomes.set(id, { id, outcome: 'not_found' });
        else if (row.settled_as !== null) outcomes.set(id, { id, outcome: 'settled', state: row.settled_as });
        else if (row.cause === 'foreign') {
          const detail = 'it never belonged to the log, so that it can only be dropped';
          await recordAct(this.#pool, row.id, { act: 'redrive', by, reason, detail });
          outcomes.set(id, { id, outcome: 'refused', detail });
        } else {
          const detail = leftBecause.get(keyText(row)) ?? (await this.#redriveKey(row, { by, reason }));
          leftBecause.set(keyText(row), detail);
          outcomes.set(id, { id, outcome: 'refused', detail });
          if ((await this.#read(id))?.settled_as === 'redriven') outcomes.set(id, { id, outcome: 'done' });
        }
      }
    } catch (error) {
      throw afterOutcomes(outcomes, error);
    }
    return ids.map((id) => outcomes.get(id) as ParkedOutcome);
  }

  async drop({ id, by, reason }: DropParked): Promise<ParkedOutcome> {
    const row = await this.#read(id);
    if (row === undefined) return { id, outcome: 'not_found' };
    const { partition, id: number } = row;
    if (await drop(this.#pool, row.topic, { partition, row: number }, { by, reason })) return { id, outcome: 'done' };
    return { id, outcome: 'settled', state: (await this.#read(id))?.settled_as ?? 'parked' };
  }

  /** Why the first record of the key that is left is left; empty when none is. */
  async #redriveKey(row: RecordRow, acting: { by: string; reason: string | undefined }): Promise<string> {
    const { partition, order_id: orderId } = row;
    const key: ParkedKey = orderId === null ? { partition, row: row.id } : { partition, orderId };
    // The code of this instance is older than what was counted: one that is newer may do it.
    const { reason } = await redrive(this.#pool, this.#topic, key, this.#projections, acting).catch(
      (error: unknown) => {
        if (error instanceof OutdatedError) return { reason: error.message };
        throw error;
      },
    );
    if (reason === undefined) return '';
    return orderId === null ? reason : `the first of its order that waits still cannot be counted: ${reason}`;
  }

  async #read(id: string): Promise<RecordRow | undefined> {
    const { rows } = await this.#pool.query<RecordRow>({
      name: 'read-parked-record',
      text: `select ${COLUMNS} from parked where id = $1`,
      values: [rowOf(id)],
    });
    return rows[0];
  }
}

const rowOf = (id: string): bigint => parkedRowOf('analytics', id) ?? 0n;

/**
 * Without contents and headers, which may be large. The trace is searched for in the text of the headers: as JSON, PostgreSQL
 * refuses to take anything out of headers of which any holds NUL.
 */
const COLUMNS = `id, topic, partition, "offset", order_id, type, cause, reason, parked_at, settled_as,
                 substring(left(headers::text, 4096) from '"traceparent":"([ !#-\\[\\]-~]*)"') as traceparent`;

interface RecordRow {
  id: bigint;
  topic: string;
  partition: number;
  offset: bigint;
  order_id: string | null;
  type: string | null;
  cause: 'foreign' | 'unreadable' | 'behind';
  reason: string;
  traceparent: string | null;
  parked_at: Date;
  settled_as: Exclude<ParkedState, 'parked'> | null;
}

const keyText = ({ id, partition, order_id: orderId }: RecordRow) => `${partition} ${orderId ?? id}`;

function messageOf(row: RecordRow): ParkedMessage {
  return {
    id: parkedIdOf('analytics', row.id),
    service: 'analytics',
    broker: 'kafka',
    source: row.topic,
    partition: row.partition,
    offset: String(row.offset),
    ...(row.order_id !== null && { orderId: row.order_id }),
    ...(row.type !== null && { type: row.type }),
    reason: row.reason,
    ...(row.traceparent !== null && { traceparent: row.traceparent }),
    parkedAt: row.parked_at.toISOString(),
    state: row.settled_as ?? 'parked',
  };
}
