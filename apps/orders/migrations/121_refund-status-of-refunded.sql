-- Up Migration

-- accepted: touches only orders of which something was given back; a command on one of them waits for the end of this statement.
update orders o
   set refund_status = case when given.amount < (o.state -> 'paid' ->> 'amount')::numeric then 'partial' else 'full' end
  from (select order_id, sum((data ->> 'amount')::numeric) as amount
          from events where type = 'order.refund-recorded.v1' group by order_id) as given
 where o.id = given.order_id and given.amount > 0;

-- Down Migration

update orders set refund_status = 'none' where refund_status <> 'none';
