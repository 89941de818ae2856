import { hash } from 'node:crypto';
import { PARKED_KEPT_BYTES_MAX } from '@tandem/contracts/parked';
import { storableText } from '@tandem/contracts/text';
import { firstAccepted } from '@tandem/postgres/transaction';
import type { KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import type { ClientBase, Pool, PoolClient } from 'pg';
import type { ParkedRecord } from './follow-chain.ts';
import type { Reading } from './read-record.ts';

/** Past this many orders that wait, parking would hide that something is wrong with the reader rather than the records. */
export const PARKED_ORDERS_MAX = 1_000;
/** The same for a share of the records: of the last so many of a partition, at most so many may be parked. */
export const PARKING_WINDOW_RECORDS = 1_000;
export const PARKED_IN_WINDOW_MAX = 100;
/** The values that are redriven together. */
const REDRIVEN_BYTES_MAX = 16 * 1_048_576;
const REASON_LENGTH_MAX = 500;

/** The orders of a partition that have something parked. */
export async function parkedOrders(client: PoolClient, topic: string, partition: number): Promise<Set<string>> {
  const { rows } = await client.query<{ order_id: string }>({
    name: 'parked-orders',
    text: `select distinct order_id from parked
            where topic = $1 and partition = $2 and order_id is not null and settled_as is null`,
    values: [topic, partition],
  });
  return new Set(rows.map(({ order_id }) => order_id));
}

/** How many more records may be parked for themselves, not for being behind another, from an offset on. */
export async function parkingLeft(
  client: PoolClient,
  topic: string,
  partition: number,
  offset: bigint,
): Promise<number> {
  const { rows } = await client.query<{ orders: bigint; in_window: bigint }>({
    name: 'parking-left',
    text: `select count(distinct order_id) + count(*) filter (where order_id is null) as orders,
                  count(*) filter (where partition = $2 and "offset" between $3 - $4::bigint and $3) as in_window
             from parked where topic = $1 and cause <> 'behind' and settled_as is null`,
    values: [topic, partition, offset, PARKING_WINDOW_RECORDS],
  });
  const { orders = 0n, in_window: inWindow = 0n } = rows[0] ?? {};
  return Math.max(0, Math.min(PARKED_ORDERS_MAX - Number(orders), PARKED_IN_WINDOW_MAX - Number(inWindow)));
}

/**
 * Writes records as rows, in their order, and returns how many were new: strangers' records have no position by which a
 * second reading of the same stretch could be told from the first, so each is known by what lay at its offset, also when it
 * was dropped since. No record makes it fail, because that would stop its partition: of one that the database refuses, the
 * headers are not kept, and at last not its value.
 */
export async function park(
  client: PoolClient,
  topic: string,
  partition: number,
  parked: readonly ParkedRecord[],
): Promise<number> {
  if (parked.length === 0) return 0;
  const insert = (rows: readonly ParkedRow[]) => insertRows(client, topic, partition, rows);
  const oneByOne = async () => {
    let count = 0;
    for (const one of parked)
      count += await firstAccepted(client, [
        () => insert([rowOf(one)]),
        (refusal) => insert([withoutHeaders(one, `its headers were not kept: ${refusal}`)]),
        (refusal) =>
          insert([{ ...withoutHeaders(one, `nothing of it was kept: ${refusal}`), ...valueOf(one.record, 0) }]),
      ]);
    return count;
  };
  return firstAccepted(client, [() => insert(parked.map(rowOf)), oneByOne]);
}

type ParkedRow = ReturnType<typeof rowOf>;

function rowOf({ record, orderId, position, cause, reason }: ParkedRecord) {
  return {
    offset: record.offset,
    orderId,
    position,
    type: storable(record.headers['ce_type'] ?? null, 200),
    cause,
    reason: storableText(reason, REASON_LENGTH_MAX),
    key: storable(record.key, 500),
    headers: JSON.stringify(record.headers),
    loggedAt: storableTime(record.timestamp),
    ...valueOf(record, PARKED_KEPT_BYTES_MAX),
  };
}

const withoutHeaders = (parked: ParkedRecord, why: string): ParkedRow => ({
  ...rowOf({ ...parked, record: { ...parked.record, headers: {}, key: null } }),
  reason: `${storableText(parked.reason, REASON_LENGTH_MAX)}; ${why}`,
});

/** The beginning of a value, and what it is the beginning of. */
function valueOf({ value }: KafkaRecord, bytesMax: number) {
  const isCut = value !== null && value.length > bytesMax;
  return {
    value: value?.subarray(0, bytesMax) ?? null,
    wholeBytes: isCut ? value.length : null,
    wholeSha256: isCut ? hash('sha256', value, 'buffer') : null,
  };
}

async function insertRows(
  client: PoolClient,
  topic: string,
  partition: number,
  rows: readonly ParkedRow[],
): Promise<number> {
  const { rowCount } = await client.query({
    name: 'park-records',
    text: `insert into parked
             (topic, partition, "offset", order_id, position, type, cause, reason, key, value, headers, logged_at,
              whole_bytes, whole_sha256)
           select $1, $2, t."offset", t.order_id, t.position, t.type, t.cause, t.reason, t.key, t.value, t.headers, t.logged_at,
                  t.whole_bytes, t.whole_sha256
             from unnest($3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
                         $10::bytea[], $11::json[], $12::timestamptz[], $13::bigint[], $14::bytea[])
                  with ordinality
                  as t ("offset", order_id, position, type, cause, reason, key, value, headers, logged_at, whole_bytes,
                        whole_sha256, n)
            where t.cause <> 'foreign' or not exists (
                    select 1 from parked p
                     where p.topic = $1 and p.partition = $2 and p."offset" = t."offset" and p.cause = 'foreign'
                       and p.logged_at = t.logged_at and p.value is not distinct from t.value
                       and p.whole_sha256 is not distinct from t.whole_sha256)
            order by t.n`,
    values: [
      topic,
      partition,
      rows.map(({ offset }) => offset),
      rows.map(({ orderId }) => orderId),
      rows.map(({ position }) => position),
      rows.map(({ type }) => type),
      rows.map(({ cause }) => cause),
      rows.map(({ reason }) => reason),
      rows.map(({ key }) => key),
      rows.map(({ value }) => value),
      rows.map(({ headers }) => headers),
      rows.map(({ loggedAt }) => loggedAt),
      rows.map(({ wholeBytes }) => wholeBytes),
      rows.map(({ wholeSha256 }) => wholeSha256),
    ],
  });
  return rowCount ?? 0;
}

/** What became of a record that was parked. It holds for the same event of every log that is published again. */
export interface Decision {
  orderId: string | null;
  /** Null while it waits. */
  settledAs: 'redriven' | 'dropped' | null;
  /** As it was when it was redriven, perhaps mended. */
  record: KafkaRecord;
}

/** The operators' decision on this record. A restored database may have given its position to another event: that is not meant. */
export function decisionOn(
  record: KafkaRecord,
  reading: Reading,
  decisions: ReadonlyMap<bigint, Decision>,
): Decision | undefined {
  if (reading.kind === 'foreign') return undefined;
  const decision = decisions.get(reading.place.position);
  if (decision === undefined) return undefined;
  const orderId = reading.kind === 'event' ? reading.event.orderId : reading.orderId;
  const isSame =
    decision.orderId === null
      ? decision.record.headers['ce_id'] === record.headers['ce_id']
      : decision.orderId === orderId;
  return isSame ? decision : undefined;
}

/** By position, what became of the records of a partition after a mark, as far as that is settled, or of all that were parked. */
export async function decisionsAfter(
  client: ClientBase,
  topic: string,
  partition: number,
  mark: bigint,
  which: 'settled' | 'all',
): Promise<Map<bigint, Decision>> {
  const { rows } = await client.query<{
    position: bigint;
    order_id: string | null;
    settled_as: Decision['settledAs'];
    offset: bigint;
    key: string | null;
    value: Buffer | null;
    headers: Record<string, string>;
    logged_at: Date;
  }>({
    name: `decisions-after-${which}`,
    text: `select position, order_id, settled_as, "offset", key, case when settled_as = 'redriven' then value end as value, headers,
                 logged_at from parked
            where topic = $1 and partition = $2 and position > $3 ${which === 'settled' ? 'and settled_as is not null' : ''}
            order by settled_at nulls last, id`,
    values: [topic, partition, mark],
  });
  return new Map(
    rows.map(
      ({ position, order_id: orderId, settled_as: settledAs, offset, key, value, headers, logged_at: timestamp }) => {
        return [position, { orderId, settledAs, record: { offset, key, value, headers, timestamp } }];
      },
    ),
  );
}

/** What waits together: the records of an order, in the partition of it unless a stranger chose another; or one of no order. */
export type ParkedKey = { partition: number; orderId: string } | { partition: number; row: bigint };

/** Who does something with parked records, and why. */
export interface Acting {
  by: string;
  reason?: string | undefined;
}

/** Of all orders of which something waits, or of one. */
export async function parkedKeys(
  pool: Pool,
  topic: string,
  orderId?: string,
): Promise<{ partition: number; orderId: string }[]> {
  const { rows } = await pool.query<{ partition: number; order_id: string }>({
    name: 'parked-keys',
    text: `select partition, order_id from parked
            where topic = $1 and order_id is not null and ($2::text is null or order_id = $2) and settled_as is null
            group by partition, order_id order by min(id)`,
    values: [topic, orderId ?? null],
  });
  return rows.map(({ partition, order_id: orderId }) => ({ partition, orderId }));
}

/**
 * The first parked records of a key as they lay in the log, in its order, each with the id of its row: so many at most, and no
 * more of them than have 16 MiB before them.
 */
export async function firstParked(
  client: PoolClient,
  topic: string,
  key: ParkedKey,
  recordsMax: number,
): Promise<{ id: bigint; record: KafkaRecord }[]> {
  const { rows } = await client.query<{
    id: bigint;
    offset: bigint;
    key: string | null;
    value: Buffer | null;
    headers: Record<string, string>;
    logged_at: Date;
  }>({
    name: 'first-parked',
    text: `select id, "offset", key, value, headers, logged_at
             from (select *, sum(coalesce(octet_length(value), 0)) over first - coalesce(octet_length(value), 0) as before
                     from parked
                    where topic = $1 and partition = $2 and (order_id = $3 or id = $4) and cause <> 'foreign'
                      and settled_as is null
                   window first as (order by position) order by position limit $5) p
            where before < $6 order by position`,
    values: [topic, ...keyValues(key), recordsMax, REDRIVEN_BYTES_MAX],
  });
  return rows.map(({ id, offset, key, value, headers, logged_at: timestamp }) => {
    return { id, record: { offset, key, value, headers, timestamp } };
  });
}

/**
 * Settles records, in the transaction that holds the lock of their partition's row, and has counted those that are redriven.
 * Returns how many had waited.
 */
export async function settle(
  client: PoolClient,
  topic: string,
  partition: number,
  ids: readonly bigint[],
  settledAs: 'redriven' | 'dropped',
  { by, reason }: Acting,
): Promise<number> {
  const { rows } = await client.query<{ settled: bigint }>({
    name: 'settle-parked',
    text: `with settled as (
             update parked set settled_as = $4, settled_at = now()
              where topic = $1 and partition = $2 and id = any($3::bigint[]) and settled_as is null returning id
           ), acts as (
             insert into parked_acts (parked_id, act, outcome, subject, reason)
             select id, case $4 when 'dropped' then 'drop' else 'redrive' end, 'done', $5, $6 from settled
           ), fewer as (
             update consumer_offsets set parked = parked - (select count(*) from settled) where topic = $1 and partition = $2
           )
           select count(*) as settled from settled`,
    values: [topic, partition, ids, settledAs, by, reason ?? null],
  });
  return Number(rows[0]?.settled ?? 0n);
}

/** Notes why a record stays, which may have been parked for another reason, or for being behind one that is gone. */
export async function keepParked(client: PoolClient, id: bigint, why: string, { by, reason }: Acting): Promise<void> {
  await client.query({
    name: 'keep-parked',
    text: `with kept as (update parked set cause = 'unreadable', reason = $2 where id = $1)
           insert into parked_acts (parked_id, act, outcome, subject, reason, detail)
           values ($1, 'redrive', 'refused', $3, $4, $2)`,
    values: [id, storableText(why, REASON_LENGTH_MAX), by, reason ?? null],
  });
}

/** How many records of a key wait. */
export async function countParked(client: PoolClient, topic: string, key: ParkedKey): Promise<number> {
  const { rows } = await client.query<{ count: bigint }>({
    name: 'count-parked',
    text: `select count(*) from parked
            where topic = $1 and partition = $2 and (order_id = $3 or id = $4) and settled_as is null`,
    values: [topic, ...keyValues(key)],
  });
  return Number(rows[0]?.count ?? 0n);
}

const keyValues = (key: ParkedKey) =>
  'orderId' in key ? [key.partition, key.orderId, null] : [key.partition, null, key.row];

const storable = (text: string | null, lengthMax: number) => (text === null ? null : storableText(text, lengthMax));

/** A producer may write any number as the time of a record, -1 for none. */
function storableTime(time: Date): string {
  const ms = time.getTime();
  return (ms >= 0 && ms < Date.UTC(10_000, 0) ? time : new Date(0)).toISOString();
}
