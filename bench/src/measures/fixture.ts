import pg from 'pg';
import type { Systems } from '../system.ts';

/** Customers among whom stored orders are spread, so that a list of one customer's has the same length at any size. */
export const ORDERS_PER_CUSTOMER = 20;

/**
 * Fills a namespace with placed orders, their events and their commands, as if they had come through the API over the last
 * weeks. Straight by SQL, and with the indexes built afterwards: triggers and queues would take hours.
 *
 * @param print told of each million.
 */
export async function fillOrders(
  systems: Systems,
  suffix: string,
  orders: number,
  print: (line: string) => void,
): Promise<void> {
  const session = new pg.Client({ connectionString: systems.database(suffix) });
  await session.connect();
  try {
    await session.query(`set synchronous_commit = off; set maintenance_work_mem = '512MB'`);
    const { rows: indexes } = await session.query<Index>(INDEXES);
    for (const { drop } of indexes) await session.query(drop);
    for (let from = 0; from < orders; from += CHUNK) {
      if (from > 0 && from % 1_000_000 === 0)
        print(`${from.toLocaleString('en')} of ${orders.toLocaleString('en')} orders`);
      await session.query(FILL, [
        from,
        Math.min(orders, from + CHUNK),
        Math.max(1, Math.floor(orders / ORDERS_PER_CUSTOMER)),
      ]);
    }
    for (const { create } of indexes) await session.query(create);
    await session.query('vacuum analyze events, orders, commands');
  } finally {
    await session.end();
  }
}

/**
 * Fills a namespace with the events of whole lives of orders, in the order of their times, and nothing else. Of twenty orders
 * fourteen are paid, shipped and delivered, three of them in two shipments; one is refunded after that and one is cancelled
 * after it was paid; one is cancelled and one declined before; one is paid and one placed so far. 25 orders a second are
 * placed, of 1,000 products by 50,000 customers, some of which are much more frequent than others.
 */
export async function fillHistories(systems: Systems, suffix: string, events: number): Promise<void> {
  await systems.query(
    systems.database(suffix),
    `with lives (life, steps) as (values
         (0, array['placed', 'payment-recorded', 'shipped', 'delivered']),
         (11, array['placed', 'payment-recorded', 'shipped partly', 'shipped', 'delivered']),
         (14, array['placed', 'payment-recorded', 'shipped', 'delivered', 'refund-requested', 'refund-recorded']),
         (15, array['placed', 'payment-recorded', 'cancelled', 'refund-requested', 'refund-recorded']),
         (16, array['placed', 'cancelled']),
         (17, array['placed', 'payment-declined', 'cancelled']),
         (18, array['placed', 'payment-recorded']),
         (19, array['placed'])),
       -- When a step comes after the placing, in seconds; a random factor stretches all of an order's.
       delays (step, seconds) as (values
         ('placed', 0), ('payment-recorded', 20), ('payment-declined', 20), ('cancelled', 120), ('shipped partly', 400),
         ('shipped', 900), ('delivered', 2400), ('refund-requested', 3000), ('refund-recorded', 3030)),
       made as materialized (
         select n, timestamptz '2026-01-01' + n * interval '40 milliseconds' as placed_at,
                (select l.steps from lives l where l.life <= n % 20 order by l.life desc limit 1) as steps,
                (hashint8extended(n, 1) & 65535) / 65536.0 as tempo,
                'c-' || floor(50000 * power((hashint8extended(n, 2) & 1048575) / 1048576.0, 2)) as customer,
                (array['EUR', 'EUR', 'EUR', 'EUR', 'EUR', 'EUR', 'EUR', 'USD', 'USD', 'JPY'])[1 + (hashint8extended(n, 3) & 1023) % 10]
                  as currency,
                1 + (hashint8extended(n, 4) & 1023) % 3 as lines
           from generate_series(1, $1::bigint / 3 + 20) as n
       ),
       written as materialized (
         select m.*, (lpad(to_hex((extract(epoch from placed_at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
                       || '8' || substr(md5(n::text), 4, 15))::uuid as id, l.sold, l.quantities, l.total
           from made m cross join lateral (
             select json_agg(json_build_object('id', line, 'sku', 'P-' || sku, 'quantity', quantity, 'unitPrice', 100 + sku * 7)
                             order by line) as sold,
                    json_agg(json_build_object('id', line, 'quantity', quantity) order by line) as quantities,
                    sum(quantity * (100 + sku * 7)) as total
               from (select line, floor(1000 * power((hashint8extended(n, 10 + line) & 65535) / 65536.0, 3))::bigint as sku,
                            1 + (hashint8extended(n, 20 + line) & 1023) % 3 as quantity
                       from generate_series(1, m.lines) as line) as lines) as l
       )
       insert into events (order_id, version, type, data, at, traceparent)
       select id, version, 'order.' || split_part(s.step, ' ', 1) || '.v1',
              case s.step
                when 'placed' then json_build_object('customerId', customer, 'currency', currency, 'lines', sold,
                  'adjustments', json_build_array(json_build_object('kind', 'shipping', 'amount', 490)),
                  'total', total + 490, 'delivery', 'standard', 'payment', json_build_object('method', 'card'))
                when 'payment-recorded' then
                  json_build_object('paymentId', 'p-' || n, 'amount', total + 490, 'currency', currency)
                when 'payment-declined' then json_build_object('reason', 'insufficient funds')
                when 'cancelled' then case when 'payment-declined' = any(steps) then json_build_object('cause', 'declined')
                  else json_build_object('cause', 'customer', 'reason', 'changed my mind') end
                when 'delivered' then json_build_object()
                when 'refund-requested' then json_build_object('refundId', 1, 'amount', total, 'currency', currency)
                when 'refund-recorded' then json_build_object('refundId', 1, 'amount', total, 'currency', currency)
                else json_build_object('shipmentId', case when s.step = 'shipped' and version = 4 then 2 else 1 end,
                  'carrier', 'DHL', 'trackingCode', 'T-' || n, 'lines', quantities, 'complete', s.step = 'shipped')
              end,
              placed_at + d.seconds * (0.5 + tempo) * interval '1 second', '00-' || md5(n::text) || '-' || substr(md5(n::text), 1, 16) || '-01'
         from written cross join lateral unnest(steps) with ordinality as s (step, version) join delays d on d.step = s.step
        order by placed_at + d.seconds * (0.5 + tempo) * interval '1 second', n, version
        limit $1`,
    [events],
  );
  await systems.query(systems.database(suffix), 'analyze');
}

const CHUNK = 250_000;

interface Index {
  drop: string;
  create: string;
}

/** How to drop each index of the three tables, and how to make it again. */
const INDEXES = `
  select case when c.conname is null then format('drop index %I', i.indexrelid::regclass)
              else format('alter table %I drop constraint %I', i.indrelid::regclass, c.conname) end as drop,
         case when c.conname is null then pg_get_indexdef(i.indexrelid)
              else format('alter table %I add constraint %I %s', i.indrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
              end as create
    from pg_index i left join pg_constraint c on c.conindid = i.indexrelid
    where i.indrelid in ('events'::regclass, 'orders'::regclass, 'commands'::regclass)`;

// Ids are UUIDs of version 7 whose time grows with their number, as real ones do.
const FILL = `
  with made as materialized (
    select n, at,
           (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
             || '8' || substr(md5(n::text), 4, 15))::uuid as id,
           'c-' || n % $3::bigint as customer
      from (select n, timestamptz '2026-01-01' + n * interval '10 milliseconds' as at
              from generate_series($1::bigint + 1, $2::bigint) as n) as numbered
  ),
  written as materialized (
    select *, '"customerId":"' || customer || '","currency":"EUR","lines":[{"id":1,"sku":"A-1","quantity":2,"unitPrice":1250},'
        || '{"id":2,"sku":"B-7","quantity":1,"unitPrice":990}],"adjustments":[{"kind":"shipping","amount":490}],'
        || '"total":3980,"delivery":"standard","payment":{"method":"card"}' as data
      from made
  ),
  c as (
    insert into commands (id, payload_hash, order_id, version, decided_at)
    select gen_random_uuid(), md5(n::text)::uuid, id, 1, at from written
  ),
  o as (
    insert into orders (id, customer_id, status, currency, version, state)
    select id, customer, 'placed', 'EUR', 1,
           ('{"id":"' || id || '","version":1,"status":"placed",' || data || ',"placedAt":"'
             || to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '"}')::json from written
  )
  insert into events (order_id, version, type, data, at)
  select id, 1, 'order.placed.v1', ('{' || data || '}')::json, at from written order by n`;

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
