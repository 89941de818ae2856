-- Up Migration

alter table payments
  -- When the provider was last asked for it.
  add column asked_at timestamptz,
  -- The provider asked to be left alone with it until then.
  add column wait_until timestamptz,
  -- The row of `parked` that holds its job: written together with it, and empty again when somebody redrives it. `parked` is
  -- the mark of former versions, which could stand without a row.
  add column parked_id bigint;

-- Down Migration

alter table payments drop column asked_at, drop column wait_until, drop column parked_id;
