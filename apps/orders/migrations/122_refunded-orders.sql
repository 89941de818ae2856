-- Up Migration

-- For lists by refund status. Partial, so that only refunded orders pay for them; in each, orders are by status and id, as in the
-- indexes of the other lists.
drop index concurrently if exists orders_refunded;
create index concurrently orders_refunded on orders (refund_status, status, id)
  where refund_status <> 'none';
drop index concurrently if exists orders_refunded_by_currency;
create index concurrently orders_refunded_by_currency on orders (refund_status, currency, status, id)
  where refund_status <> 'none';
drop index concurrently if exists orders_refunded_by_customer;
create index concurrently orders_refunded_by_customer on orders (refund_status, customer_id, status, id)
  where refund_status <> 'none';
drop index concurrently if exists orders_refunded_by_customer_currency;
create index concurrently orders_refunded_by_customer_currency on orders (refund_status, customer_id, currency, status, id)
  where refund_status <> 'none';
drop index concurrently if exists orders_refunded_by_reference;
create index concurrently orders_refunded_by_reference on orders (refund_status, reference, status, id)
  where refund_status <> 'none' and reference is not null;
drop index concurrently if exists orders_refunded_by_reference_currency;
create index concurrently orders_refunded_by_reference_currency on orders (refund_status, reference, currency, status, id)
  where refund_status <> 'none' and reference is not null;

-- Down Migration

drop index orders_refunded, orders_refunded_by_currency, orders_refunded_by_customer,
           orders_refunded_by_customer_currency, orders_refunded_by_reference, orders_refunded_by_reference_currency;
