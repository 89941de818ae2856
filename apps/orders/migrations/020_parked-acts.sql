-- Up Migration

-- A parked message stays when it has been redriven or dropped, so that it can be said what became of it.
alter table parked
  add column order_id        text,
  add column type            text,
  add column attempts        integer,
  add column first_failed_at timestamptz,
  add column traceparent     text,
  add column settled_as      text check (settled_as in ('redriven', 'dropped')),
  add column settled_at      timestamptz,
  add check ((settled_as is null) = (settled_at is null));
create index parked_waiting on parked (id) where settled_as is null;

-- What was done with parked messages, by whom and why; what was refused too.
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

drop table parked_acts;
alter table parked
  drop column order_id, drop column type, drop column attempts, drop column first_failed_at, drop column traceparent,
  drop column settled_as, drop column settled_at;
