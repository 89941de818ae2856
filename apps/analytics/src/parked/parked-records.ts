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
import { afterOutcomes, contentOf, parkedRows, readActs, recordAct } from '@tandem/transports/rabbitmq/parked-messages';
import type { Pool } from 'pg';
import { drop, redrive } from '../consumer/redrive.ts';
import type { ParkedKey } from '../consumer/parking.ts';
import type { Projection } from '../projections/projection.ts';

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
    const { rows } = await this.#pool.query<RecordRow>({
      name: 'list-parked-records',
      text: `select ${COLUMNS} from parked
              where (case when $1::text = 'parked' then settled_as is null else settled_as = $1 end)
                and ($2::text is null or topic = $2) and ($3::text is null or order_id = $3)
                and ($4::bigint is null or id < $4)
              order by id desc limit $5`,
      values: [
        filter.state ?? 'parked',
        filter.source ?? null,
        filter.orderId ?? null,
        before === undefined ? null : (parkedRowOf('analytics', before) ?? 0n),
        limit + 1,
      ],
    });
    return { parked: rows.slice(0, limit).map(messageOf), more: rows.length > limit };
  }

  async show(id: string): Promise<ParkedDetails | null> {
    const row = await this.#read(id);
    if (row === undefined) return null;
    const { rows } = await this.#pool.query<{ value: Buffer | null; headers: Record<string, string> }>({
      name: 'show-parked-record-content',
      text: 'select value, headers from parked where id = $1',
      values: [row.id],
    });
    const [content] = rows;
    const acts = await readActs(this.#pool, row.id);
    return { ...messageOf(row), headers: content?.headers ?? {}, content: contentOf(content?.value ?? null), acts };
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
    const { reason } = await redrive(this.#pool, this.#topic, key, this.#projections, acting);
    if (reason === undefined) return '';
    return orderId === null ? reason : `the first of its order that waits still cannot be counted: ${reason}`;
  }

  async #read(id: string): Promise<RecordRow | undefined> {
    const { rows } = await this.#pool.query<RecordRow>({
      name: 'show-parked-record',
      text: `select ${COLUMNS} from parked where id = $1`,
      values: [parkedRowOf('analytics', id) ?? 0n],
    });
    return rows[0];
  }
}

const COLUMNS = `id, topic, partition, "offset", order_id, type, cause, reason, headers ->> 'traceparent' as traceparent,
                 parked_at, settled_as`;

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
