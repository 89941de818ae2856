import type { OrderState } from '@tandem/contracts/order';
import type { StoredRejection } from '@tandem/contracts/rejections';
import type { ClientBase, Pool } from 'pg';
import type { Recorded } from '../order/order.ts';

/** The outcome of one command, as it is stored with it. */
export interface Outcome {
  commandId: string;
  payloadHash: string;
  orderId: string | null;
  /** The order's version after an accepted command. */
  version: number | null;
  rejection: StoredRejection | null;
}

/** What one batch leaves behind: outcomes, each order's last state once, and events in the order of their decision. */
export interface Batch {
  outcomes: Outcome[];
  orders: OrderState[];
  events: (Recorded & { traceparent?: string | undefined })[];
  /** When the batch was decided. */
  at: string;
}

// Every insert takes its rows from a join with the lock, so none of them runs before the lock is held, and the lock lasts
// until what they wrote is visible. The shapes that lose events are named in docs/adr/0001-grouped-append.md.
const APPEND = `
  with l as materialized (select pg_advisory_xact_lock(42)),
  c as (
    insert into commands (id, payload_hash, order_id, version, rejection, decided_at)
    select t.id, t.payload_hash, t.order_id, t.version, t.rejection, $6
      from l cross join unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::json[])
        as t(id, payload_hash, order_id, version, rejection)
  ),
  o as (
    insert into orders (id, customer_id, status, currency, reference, version, state, refund_status)
    select t.id, t.customer_id, t.status, t.currency, t.reference, t.version, t.state, t.refund_status
      from l cross join unnest($7::uuid[], $8::text[], $9::text[], $18::text[], $10::text[], $11::integer[], $12::json[],
                                $19::text[])
        as t(id, customer_id, status, currency, reference, version, state, refund_status)
    on conflict (id) do update
      set status = excluded.status, version = excluded.version, state = excluded.state,
          refund_status = excluded.refund_status
  ),
  e as (
    insert into events (order_id, version, type, data, at, traceparent)
    select t.order_id, t.version, t.type, t.data, $6, t.traceparent
      from l cross join unnest($13::uuid[], $14::integer[], $15::text[], $16::json[], $17::text[])
        with ordinality as t(order_id, version, type, data, traceparent, n)
      order by n
    returning position
  )
  select min(position) as first, count(*)::integer as count from e`;

/**
 * Appends one batch, whole or not at all, and returns the position of its first event: the others follow without a gap,
 * because positions are given under the lock.
 *
 * @throws DatabaseError 23505 on `events_order_version`, `commands_id` or `orders_customer_reference` when somebody else was
 * first; other errors of classes 21, 22, 23 and 54 when a value cannot be stored.
 */
export async function append(db: Pool | ClientBase, { outcomes, orders, events, at }: Batch): Promise<number> {
  const { rows } = await db.query<{ first: bigint | null; count: number }>({
    name: 'append-batch',
    text: APPEND,
    values: [
      outcomes.map((outcome) => outcome.commandId),
      outcomes.map((outcome) => outcome.payloadHash),
      outcomes.map((outcome) => outcome.orderId),
      outcomes.map((outcome) => outcome.version),
      outcomes.map((outcome) => (outcome.rejection === null ? null : JSON.stringify(outcome.rejection))),
      at,
      orders.map((order) => order.id),
      orders.map((order) => order.customerId),
      orders.map((order) => order.status),
      orders.map((order) => order.reference ?? null),
      orders.map((order) => order.version),
      orders.map((order) => JSON.stringify(order)),
      events.map((event) => event.orderId),
      events.map((event) => event.version),
      events.map((event) => event.type),
      events.map((event) => JSON.stringify(event.data)),
      events.map((event) => event.traceparent ?? null),
      orders.map((order) => order.currency),
      orders.map((order) => order.refundStatus),
    ],
  });
  const row = rows[0];
  if (row?.count !== events.length) throw new Error(`The append wrote ${row?.count} of ${events.length} events.`);
  return Number(row.first ?? 0);
}
