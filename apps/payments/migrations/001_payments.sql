-- Up Migration

-- What is asked of the provider, once for each key, and what became of it: a worker that comes after one that was killed
-- asks for the same thing again, or tells what is known already.
create table payments (
  key      text        primary key,
  kind     text        not null,
  -- The job, so that it can be published again from here.
  data     json        not null,
  begun_at timestamptz not null default now(),
  -- What the provider said, for ever: the first answer counts.
  outcome  json,
  -- When orders had taken note of it: then there is nothing left to do.
  told_at  timestamptz,
  -- When the job was last published again from here.
  swept_at timestamptz,
  -- Somebody has to decide first: such a job is not run and not published again.
  parked   boolean     not null default false
);
create index payments_untold on payments (begun_at) where told_at is null and not parked;

-- Jobs that were given up and messages that could not be read, taken off their queue, with what became of them.
create table parked (
  id              bigint generated always as identity primary key,
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

drop table parked_acts, parked, payments;
