-- Up Migration

-- One index for each pair of filters, by id: an id tells when its order was placed, so a range of times is a range of ids and
-- needs no index of its own. A single filter is read from an index in which the status follows it, once for each status.
-- See docs/adr/0030-lists-read-what-they-show.md.
alter table orders add column currency text;
update orders set currency = state ->> 'currency';
alter table orders alter column currency set not null;
create index orders_by_currency_status on orders (currency, status, id);
create index orders_by_customer_status on orders (customer_id, status, id);
create index orders_by_customer_currency on orders (customer_id, currency, id);
create index orders_by_reference_status on orders (reference, status, id) where reference is not null;
create index orders_by_reference_currency on orders (reference, currency, id) where reference is not null;
drop index orders_by_customer;

-- Down Migration

create index orders_by_customer on orders (customer_id, id);
drop index orders_by_currency_status, orders_by_customer_status, orders_by_customer_currency,
           orders_by_reference_status, orders_by_reference_currency;
alter table orders drop column currency;
