-- Up Migration

-- Of a message that is too large, or cannot be stored, only the beginning is kept: the length and SHA-256 of all of it.
alter table parked
  add column whole_bytes  bigint,
  add column whole_sha256 bytea;

-- Down Migration

alter table parked drop column whole_bytes, drop column whole_sha256;
