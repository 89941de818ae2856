-- Up Migration

-- A record stays when it has been counted or dropped: it must not be parked again by a search that reads its offset once
-- more, and it can be said what became of it.
alter table parked
  add column settled_as text check (settled_as in ('redriven', 'dropped')),
  add column settled_at timestamptz,
  add check ((settled_as is null) = (settled_at is null));
drop index parked_by_order;
create index parked_by_order on parked (topic, partition, order_id) where order_id is not null and settled_as is null;
create index parked_waiting on parked (id) where settled_as is null;

-- Messages that were taken off a queue of RabbitMQ. One numbering with the records, because both are shown together.
create table parked_messages (
  id              bigint      primary key default nextval('parked_id_seq'),
  queue           text        not null,
  reason          text        not null,
  content         bytea       not null,
  properties      json        not null,
  order_id        text,
  type            text,
  attempts        integer,
  first_failed_at timestamptz,
  traceparent     text,
  parked_at       timestamptz not null default now(),
  settled_as      text check (settled_as in ('redriven', 'dropped')),
  settled_at      timestamptz,
  check ((settled_as is null) = (settled_at is null))
);
create index parked_messages_waiting on parked_messages (id) where settled_as is null;

-- What was done with either, by whom and why; what was refused too.
create table parked_acts (
  id        bigint generated always as identity primary key,
  parked_id bigint      not null,
  act       text        not null check (act in ('redrive', 'drop')),
  outcome   text        not null check (outcome in ('done', 'refused')),
  subject   text        not null,
  reason    text,
  detail    text,
  at        timestamptz not null default now()
);
create index parked_acts_by_parked on parked_acts (parked_id, id);

-- Down Migration

drop table parked_acts, parked_messages;
delete from parked where settled_as is not null;
alter table parked drop column settled_as, drop column settled_at;
create index parked_by_order on parked (topic, partition, order_id) where order_id is not null;
