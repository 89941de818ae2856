import { OrderStatus } from '@tandem/contracts/order';
import type { ListOrders, OrderFilter } from '@tandem/contracts/order-queries';
import { firstIdAt } from '../order/order-ids.ts';

/** A statement and its values. */
export interface Statement {
  text: string;
  values: unknown[];
}

/**
 * What the session of the statement below must have. Several indexes begin with the same column, and the planner would take the
 * wrong one and sort what it finds by the other columns.
 */
export const LIST_SETTINGS = { enable_incremental_sort: 'off' };

/**
 * The statement that reads one page of orders, newest first. Each row has the order's `state`, the `position` of its latest
 * event, and `more`: whether another page follows.
 *
 * Whatever the filters, it reads from an index that holds them all, in the order of that index, and stops with the page. The
 * planner is left no other way: the columns are compared as a row, which only that index can answer in that order. Told
 * `status = … and currency = …`, it would rather read orders by id and leave out what does not match, all of them when nothing
 * matches.
 */
export function listStatement({ filter, limit, before }: ListOrders): Statement {
  const values: unknown[] = [];
  const parameter = (value: unknown, type: string) => `$${values.push(value)}::${type}`;
  const { after, until } = idRange(filter, before);
  const [low, high] = [parameter(after, 'uuid'), parameter(until, 'uuid')];
  const count = parameter(limit, 'integer');

  const given = (Object.keys(COLUMNS) as Column[]).filter((column) => filter[COLUMNS[column]] !== undefined);
  const valueOf = (column: Column) => parameter(filter[COLUMNS[column]], 'text');
  const { columns, split } = INDEXES.find(({ columns }) => columns.every((column) => given.includes(column))) ?? BY_ID;
  const equal = columns.map(valueOf);
  // None, but for the one order of a customer and a reference, which is read whatever else is asked.
  const others = given
    .filter((column) => !columns.includes(column))
    .map((column, index) => `${index === 0 ? 'where' : 'and'} ${column} = ${valueOf(column)}`)
    .join(' ');
  // The indexes by reference hold only orders that have one.
  const partial = columns.includes('reference') ? 'and reference is not null' : '';

  const newest = (names: string[], texts: string[], below: string, most: string) => `
    (select id, version, state, currency, status from orders
      where (${[...names, 'id'].join(', ')}) >= (${[...texts, low].join(', ')})
        and (${[...names, 'id'].join(', ')}) < (${[...texts, below].join(', ')}) ${partial}
      order by ${[...names, 'id'].map((name) => `${name} desc`).join(', ')} limit ${most})`;
  // A page of each status at most. Are they one page together, only the status that filled it can have more, below the page.
  const ofStatus = (status: string, below: string, most: string) =>
    newest([...columns, 'status'], [...equal, status], below, most);
  const last = (column: string) => `(select ${column} from page order by id limit 1)`;
  const found = split
    ? OrderStatus.options.map((status) => ofStatus(`'${status}'::text`, high, count)).join(' union all ')
    : newest(columns, equal, high, `${count} + 1`);
  // Not `exists`, of which the planner would drop the order and with it the index.
  const follows = split
    ? `(select count(*) from found) = ${count}
       and (select id from ${ofStatus(last('status'), last('id'), '1')} as next) is not null`
    : 'false';
  return {
    text: `with found as materialized (select * from (${found}) as read ${others}),
           page as materialized (select * from found order by id desc limit ${count})
           select o.state, e.position,
                  case when (select count(*) from found) > ${count} then true else ${follows} end as more
             from page as o
            cross join lateral (select position from events where order_id = o.id and version = o.version offset 0) as e
            order by o.id desc`,
    values,
  };
}

/** How a filter is called in the table. */
const COLUMNS = { customer_id: 'customerId', reference: 'reference', currency: 'currency', status: 'status' } as const;
type Column = keyof typeof COLUMNS;

interface Index {
  columns: Column[];
  split: boolean;
}

/**
 * The indexes of the table, the one to prefer first: by these columns and then the id. Of those that are `split` the status
 * stands between, and they are read once for each status. A customer has one order of a reference at most, which the index of
 * the two finds whatever else is asked for.
 */
const INDEXES: Index[] = [
  { columns: ['reference', 'customer_id'], split: false },
  { columns: ['reference', 'currency', 'status'], split: false },
  { columns: ['customer_id', 'currency', 'status'], split: false },
  { columns: ['reference', 'status'], split: false },
  { columns: ['reference', 'currency'], split: true },
  { columns: ['customer_id', 'status'], split: false },
  { columns: ['customer_id', 'currency'], split: true },
  { columns: ['currency', 'status'], split: false },
  { columns: ['reference'], split: true },
  { columns: ['customer_id'], split: true },
  { columns: ['currency'], split: true },
  { columns: ['status'], split: false },
];
const BY_ID: Index = { columns: [], split: false };

/** The ids that the times and the page before leave: from `after` on, below `until`. */
function idRange({ placedAfter, placedBefore }: OrderFilter, before: string | undefined) {
  const after = placedAfter === undefined ? FIRST_ID : firstIdAt(Date.parse(placedAfter) + 1);
  const bound = placedBefore === undefined ? LAST_ID : firstIdAt(Date.parse(placedBefore));
  return { after, until: before !== undefined && before < bound ? before : bound };
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
