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
 * The statement that reads one page of orders, newest first, and one order more to tell whether another page follows. Each row
 * has the order's `state` and the `position` of its latest event.
 *
 * For each filter and each pair of filters it reads from the index that was made for it, in the order of that index, and stops
 * with the page. The planner is left no other way: the columns are compared as a row, which only that index can answer in that
 * order. Told `status = … and currency = …`, it would rather read orders by id and leave out what does not match, all of them
 * when nothing matches.
 */
export function listStatement({ filter, limit, before }: ListOrders): Statement {
  const values: unknown[] = [];
  const parameter = (value: unknown, type: string) => `$${values.push(value)}::${type}`;
  const { after, until } = idRange(filter, before);
  const [low, high] = [parameter(after, 'uuid'), parameter(until, 'uuid')];
  const count = parameter(limit + 1, 'integer');

  const given = (Object.keys(COLUMNS) as Column[]).filter((column) => filter[COLUMNS[column]] !== undefined);
  const valueOf = (column: Column) => parameter(filter[COLUMNS[column]], 'text');
  const { columns, split } = INDEXES.find(({ columns }) => columns.every((column) => given.includes(column))) ?? BY_ID;
  const equal = columns.map(valueOf);
  const others = given
    .filter((column) => !columns.includes(column))
    .map((column) => `and ${column} = ${valueOf(column)}`);
  // The indexes by reference hold only orders that have one.
  if (columns.includes('reference')) others.push('and reference is not null');

  const page = (names: string[], texts: string[]) => `
    (select id, version, state from orders
      where (${[...names, 'id'].join(', ')}) >= (${[...texts, low].join(', ')})
        and (${[...names, 'id'].join(', ')}) < (${[...texts, high].join(', ')}) ${others.join(' ')}
      order by ${[...names, 'id'].map((name) => `${name} desc`).join(', ')} limit ${count})`;
  const pages = split
    ? OrderStatus.options.map((status) => page([...columns, 'status'], [...equal, `'${status}'::text`]))
    : [page(columns, equal)];
  return {
    text: `select o.state, e.position
             from (select * from (${pages.join(' union all ')}) as p order by id desc limit ${count}) as o
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
 * the two finds however it is asked for.
 */
const INDEXES: Index[] = [
  { columns: ['reference', 'customer_id'], split: false },
  { columns: ['reference', 'status'], split: false },
  { columns: ['reference', 'currency'], split: false },
  { columns: ['customer_id', 'status'], split: false },
  { columns: ['customer_id', 'currency'], split: false },
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
