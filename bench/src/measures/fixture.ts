import type { Systems } from '../system.ts';

/** Customers among whom stored orders are spread, so that a list of one customer's has the same length at any size. */
export const ORDERS_PER_CUSTOMER = 20;

/**
 * Fills a namespace with placed orders, their events and their commands, as if they had come through the API over the last
 * weeks. Straight by SQL: triggers and queues would take hours.
 */
export async function fillOrders(systems: Systems, suffix: string, orders: number): Promise<void> {
  const url = systems.database(suffix);
  const chunk = 250_000;
  for (let from = 0; from < orders; from += chunk)
    await systems.query(
      url,
      // Ids are UUIDs of version 7 whose time grows with their number, as real ones do.
      `with made as materialized (
         select n, at,
                (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
                  || '8' || substr(md5(n::text), 4, 15))::uuid as id,
                'c-' || n % greatest(1, $3::bigint / ${ORDERS_PER_CUSTOMER}) as customer
           from (select n, timestamptz '2026-01-01' + n * interval '10 milliseconds' as at
                   from generate_series($1::bigint + 1, $2::bigint) as n) as numbered
       ),
       written as materialized (
         select *, json_build_object('customerId', customer, 'currency', 'EUR', 'lines',
             json_build_array(json_build_object('id', 1, 'sku', 'A-1', 'quantity', 2, 'unitPrice', 1250),
                              json_build_object('id', 2, 'sku', 'B-7', 'quantity', 1, 'unitPrice', 990)),
             'adjustments', json_build_array(json_build_object('kind', 'shipping', 'amount', 490)),
             'total', 3980, 'delivery', 'standard', 'payment', json_build_object('method', 'card')) as data
           from made
       ),
       c as (
         insert into commands (id, payload_hash, order_id, version, decided_at)
         select gen_random_uuid(), md5(n::text)::uuid, id, 1, at from written
       ),
       o as (
         insert into orders (id, customer_id, status, currency, version, state)
         select id, customer, 'placed', 'EUR', 1,
                (jsonb_build_object('id', id, 'version', 1, 'status', 'placed', 'placedAt',
                  to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) || data::jsonb)::json from written
       )
       insert into events (order_id, version, type, data, at)
       select id, 1, 'order.placed.v1', data, at from written order by n`,
      [from, Math.min(orders, from + chunk), orders],
    );
  await systems.query(url, 'analyze');
}

/** Sets the relay's checkpoint to the newest event, as if all had been published to a log that was emptied since. */
export async function checkpointAtHead(systems: Systems, suffix: string): Promise<void> {
  await systems.query(
    systems.database(suffix),
    `insert into followers (name, position, partitions)
     select 'kafka', newest, (select json_agg(json_build_object('partition', p, 'position', newest::text, 'endOffset', '0'))
                                from log, generate_series(0, log.partitions - 1) as p)
       from (select max(position) as newest from events) as head`,
  );
}
