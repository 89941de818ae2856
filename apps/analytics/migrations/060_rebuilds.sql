-- Up Migration

-- Which version of its code has counted each projection; 0 for one that began in the middle of the log.
create table projections (
  name     text primary key,
  version  integer     not null,
  built_at timestamptz not null default now()
);

-- The latest rebuild of each projection. Its shadow copy, with its offsets, is a schema of its own until it takes the place of
-- the live one.
create table rebuilds (
  projection          text primary key,
  id                  uuid        not null,
  version             integer     not null,
  state               text        not null check (state in ('waiting', 'reading', 'swapped', 'failed')),
  accepts_differences boolean     not null,
  requested_at        timestamptz not null default now(),
  started_at          timestamptz,
  finished_at         timestamptz,
  -- Records read, and records that there are to read.
  read                bigint      not null default 0,
  total               bigint      not null default 0,
  -- When whoever reads began, and with how many read: what is left is estimated from that.
  leg_at              timestamptz,
  leg_read            bigint,
  -- Why it failed, or what it waits for.
  reason              text,
  differences         json        not null default '[]'
);

-- Down Migration

drop table rebuilds, projections;
