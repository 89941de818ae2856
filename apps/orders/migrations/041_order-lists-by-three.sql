-- Up Migration

-- With the status in them, the indexes by currency serve three filters as well as two: without, three were read by the best pair
-- among them. As many indexes as before, and a change of status writes to each of them anyway.
-- See docs/adr/0030-lists-read-what-they-show.md.
create index orders_by_customer_currency_status on orders (customer_id, currency, status, id);
create index orders_by_reference_currency_status on orders (reference, currency, status, id) where reference is not null;
drop index orders_by_customer_currency, orders_by_reference_currency;

-- Down Migration

create index orders_by_customer_currency on orders (customer_id, currency, id);
create index orders_by_reference_currency on orders (reference, currency, id) where reference is not null;
drop index orders_by_customer_currency_status, orders_by_reference_currency_status;
