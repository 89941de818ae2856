-- Up Migration

-- Everything is counted again from the log, which holds it all: the projections below know nothing of what came before them.
truncate consumer_offsets, progress, parked, order_counts, revenue_totals;
drop table revenue_by_minute;

-- `bucket` is the length of time that begins at `start`, in UTC: each event is in one bucket of each length.
create table revenue_by_time (
  bucket        text        not null check (bucket in ('minute', 'hour', 'day')),
  start         timestamptz not null,
  currency      text        not null,
  partition     integer     not null,
  placed        bigint      not null,
  placed_amount numeric     not null,
  gross         numeric     not null,
  refunded      numeric     not null,
  primary key (bucket, start, currency, partition)
);

create table refunds (
  partition        integer not null,
  currency         text    not null,
  requested        bigint  not null,
  requested_amount numeric not null,
  recorded         bigint  not null,
  recorded_amount  numeric not null,
  primary key (partition, currency)
);

-- `cause` and `reason` are empty but for cancelled orders.
create table funnel_by_hour (
  hour      timestamptz not null,
  step      text        not null check (step in ('placed', 'paid', 'shipped', 'delivered', 'cancelled')),
  cause     text        not null,
  reason    text        not null,
  partition integer     not null,
  orders    bigint      not null,
  primary key (hour, step, cause, reason, partition)
);

-- When the orders were placed that are neither shipped nor cancelled yet, in milliseconds since 1970.
create table open_orders (
  order_id  uuid    primary key,
  partition integer not null,
  placed_ms bigint  not null
);

-- A sketch holds the distribution of the durations, as DDSketch serialises it; sum and extremes are exact.
create table durations_by_time (
  bucket    text        not null check (bucket in ('hour', 'day')),
  start     timestamptz not null,
  step      text        not null check (step in ('paid', 'shipped')),
  partition integer     not null,
  orders    bigint      not null,
  sum_ms    numeric     not null,
  min_ms    bigint      not null,
  max_ms    bigint      not null,
  sketch    bytea       not null,
  primary key (bucket, start, step, partition)
);

create table products_by_day (
  day       timestamptz not null,
  currency  text        not null,
  sku       text        not null,
  partition integer     not null,
  orders    bigint      not null,
  quantity  numeric     not null,
  amount    numeric     not null,
  primary key (day, currency, sku, partition)
);

create table customers_by_day (
  day         timestamptz not null,
  currency    text        not null,
  customer_id text        not null,
  partition   integer     not null,
  orders      bigint      not null,
  amount      numeric     not null,
  primary key (day, currency, customer_id, partition)
);

-- The last minutes before the newest event of each partition.
create table events_by_second (
  partition integer     not null,
  second    timestamptz not null,
  events    bigint      not null,
  placed    bigint      not null,
  primary key (partition, second)
);

-- Down Migration

drop table events_by_second, customers_by_day, products_by_day, durations_by_time, open_orders, funnel_by_hour, refunds,
  revenue_by_time;
create table revenue_by_minute (
  minute        timestamptz not null,
  currency      text        not null,
  partition     integer     not null,
  placed        bigint      not null,
  placed_amount numeric     not null,
  gross         numeric     not null,
  refunded      numeric     not null,
  primary key (minute, currency, partition)
);
truncate consumer_offsets, progress, parked, order_counts, revenue_totals;
