-- Up Migration

-- Everything that happened, for ever. `position` is the order of commits: appends hold one advisory lock until they are
-- visible, so whoever has seen position n never sees a smaller one appear later. CACHE 1: a session must not keep numbers.
create table events (
  position    bigint generated always as identity (cache 1) primary key,
  order_id    uuid        not null,
  version     integer     not null check (version > 0),
  type        text        not null,
  -- json, not jsonb: what was published must be what is stored, byte for byte.
  data        json        not null,
  at          timestamptz not null,
  traceparent text,
  constraint events_order_version unique (order_id, version)
);

-- What was decided for each command, a refusal too: `version` is the order's version after an accepted one.
create table commands (
  id           uuid        not null,
  payload_hash uuid        not null,
  order_id     uuid,
  version      integer,
  rejection    json,
  decided_at   timestamptz not null,
  constraint commands_id primary key (id),
  check ((version is null) <> (rejection is null))
);

-- Each order as its events leave it, for queries. Ids are UUIDs of version 7, so their order is that of placing.
create table orders (
  id          uuid    primary key,
  customer_id text    not null,
  status      text    not null,
  reference   text,
  version     integer not null,
  state       json    not null
);
create unique index orders_customer_reference on orders (reference, customer_id) where reference is not null;
create index orders_by_customer on orders (customer_id, id);
create index orders_by_status on orders (status, id);

-- A second guard: no insert into events, whoever writes it, goes without the lock of the appends.
create function hold_append_lock() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(42);
  return null;
end $$;
create trigger events_append_lock before insert on events for each statement execute function hold_append_lock();

-- Who follows the events table, and how far. `partitions` continues the chains of `prev` and knows each partition's end.
create table followers (
  name       text        primary key,
  position   bigint      not null default 0,
  partitions json        not null default '[]',
  updated_at timestamptz not null default now()
);

-- The log that the events are published to: its epoch and its number of partitions, fixed when it was made.
create table log (
  singleton  boolean     primary key default true check (singleton),
  epoch      uuid        not null default gen_random_uuid(),
  partitions integer     not null check (partitions > 0)
);

-- Messages that could not be read or run, taken off their queue.
create table parked (
  id        bigint generated always as identity primary key,
  queue     text        not null,
  reason    text        not null,
  content   bytea       not null,
  properties json       not null,
  parked_at timestamptz not null default now()
);

-- Down Migration

drop table parked, log, followers, orders, commands, events;
drop function hold_append_lock();
