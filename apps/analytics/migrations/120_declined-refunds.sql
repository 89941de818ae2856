-- Up Migration

-- Refunds that the provider refused, and that were closed by hand. There were none before, so what has been counted stays right.
alter table refunds
  add column declined        bigint  not null default 0,
  add column declined_amount numeric not null default 0,
  add column closed          bigint  not null default 0,
  add column closed_amount   numeric not null default 0;

-- Down Migration

alter table refunds
  drop column declined, drop column declined_amount, drop column closed, drop column closed_amount;
