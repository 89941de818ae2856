-- Up Migration

-- Every switch of the operator, for ever: the newest says whether orders are taken. The command's id makes repeating safe.
create table intake (
  revision   integer     primary key,
  command_id uuid        not null unique,
  paused     boolean     not null,
  reason     text,
  since      timestamptz not null default now()
);
insert into intake (revision, command_id, paused) values (0, '00000000-0000-0000-0000-000000000000', false);

-- Down Migration

drop table intake;
