-- Up Migration

alter table orders add column refund_status text not null default 'none';

-- Of refunds that a sweep looks for, the oldest first.
create index open_refunds_by_time on open_refunds (requested_at);

-- Down Migration

drop index open_refunds_by_time;
alter table orders drop column refund_status;
