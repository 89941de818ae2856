-- Up Migration

alter table rebuilds drop constraint rebuilds_state_check,
  add constraint rebuilds_state_check check (state in ('waiting', 'reading', 'swapped', 'failed', 'cancelled'));

-- What operators decided outlives the log: it is looked up by the position, which a log that is published again gives the same
-- event.
create index parked_decided on parked (topic, partition, position) where settled_as is not null;

-- Down Migration

drop index parked_decided;
delete from rebuilds where state = 'cancelled';
alter table rebuilds drop constraint rebuilds_state_check,
  add constraint rebuilds_state_check check (state in ('waiting', 'reading', 'swapped', 'failed'));
