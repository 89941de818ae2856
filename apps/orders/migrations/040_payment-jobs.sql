-- Up Migration

-- Refunds whose job has been published and of which nothing came yet: kept by the follower that publishes payment jobs, in
-- the transaction of its checkpoint. What it needs of unpaid orders stands in `orders`.
create table open_refunds (
  order_id     uuid        not null,
  refund_id    integer     not null,
  requested_at timestamptz not null,
  primary key (order_id, refund_id)
);

-- Down Migration

drop table open_refunds;
