-- Up Migration

-- How far each partition has been counted. A row belongs to whoever holds its lock: every batch begins by taking it and ends
-- by moving it, in the transaction of the batch's effects.
create table consumer_offsets (
  topic        text    not null,
  partition    integer not null,
  next_offset  bigint  not null default 0,
  -- The position of the last event counted or parked: what comes again is dropped, what comes next must name it as `prev`.
  mark         bigint  not null default 0,
  -- Records of this partition in `parked`.
  parked       integer not null default 0,
  -- Where the chain broke, while the rest of the partition is searched for what comes after the mark.
  gap_offset   bigint,
  primary key (topic, partition)
);

-- The history that is counted. The first epoch seen stays; records of another are never mixed in.
create table logs (
  topic text primary key,
  epoch uuid not null
);

-- The highest position up to which everything is known to be counted, so that a restart does not say less than before.
create table progress (
  topic    text   primary key,
  position bigint not null
);

-- Records that could not be read or applied, and those of the same order that came after them, in the order of the log.
create table parked (
  id        bigint generated always as identity primary key,
  topic     text        not null,
  partition integer     not null,
  "offset"  bigint      not null,
  -- The records that share this are redriven in order; null when the record does not say whose it is.
  order_id  text,
  -- Null for records from outside of the chain.
  position  bigint,
  type      text,
  cause     text        not null check (cause in ('foreign', 'unreadable', 'behind')),
  reason    text        not null,
  key       text,
  value     bytea,
  headers   json        not null,
  logged_at timestamptz not null,
  parked_at timestamptz not null default now()
);
create index parked_by_offset on parked (topic, partition, "offset");
create index parked_by_order on parked (topic, partition, order_id) where order_id is not null;

-- Projections. Each row belongs to one partition, so that partitions never wait for each other; queries sum over them.
-- Sums are numeric: what does not fit a bigint must be refused when it is asked for, not when it is counted.

create table order_counts (
  partition integer primary key,
  placed    bigint  not null,
  paid      bigint  not null,
  shipped   bigint  not null,
  delivered bigint  not null,
  cancelled bigint  not null
);

create table revenue_totals (
  partition     integer not null,
  currency      text    not null,
  placed        bigint  not null,
  placed_amount numeric not null,
  gross         numeric not null,
  refunded      numeric not null,
  primary key (partition, currency)
);

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

-- Down Migration

drop table revenue_by_minute, revenue_totals, order_counts, parked, progress, logs, consumer_offsets;
