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

/** A page ends with the row that passes this: whoever reads it holds up what else its process does. */
export const PAGE_BYTES_MAX = 262_144;

/** How many bytes the rows before this one have in a column. */
export const bytesBefore = (column: string, order: string) =>
  `sum(octet_length(${column}::text)) over (order by ${order}) - octet_length(${column}::text)`;

/**
 * The statement that reads one page of orders, newest first. Each row has the order's `state`, the `position` of its latest
 * event, and `more`: whether another page follows. It holds fewer orders than asked for when they are large.
 *
 * Whatever the filters, their ids are read from an index that holds them all, in its order, from the newest that may be shown on
 * and no more of them than the page has; which of them match is decided outside of that limit. Inside, a condition that ends the
 * range would read on to the end of the index: of two columns compared as a row, PostgreSQL stops at the first only.
 *
 * The planner is left no other way: told `status = … and currency = …`, it would rather read orders by id and leave out what does
 * not match, all of them when nothing matches.
 */
export function listStatement({ filter, limit, before }: ListOrders): Statement {
  const values: unknown[] = [];
  const parameter = (value: unknown, type: string) => `$${values.push(value)}::${type}`;
  const { from, until } = idRange(filter, before);
  const [low, high] = [parameter(from, 'uuid'), parameter(until, 'uuid')];
  const count = parameter(limit, 'integer');

  const given = (Object.keys(COLUMNS) as Column[]).filter((column) => filter[COLUMNS[column]] !== undefined);
  const isEqual = (column: Column) => `${column} = ${parameter(filter[COLUMNS[column]], 'text')}`;
  const { columns, split } = INDEXES.find(({ columns }) => columns.every((column) => given.includes(column))) ?? BY_ID;
  // Refunded orders have indexes of their own, which begin with how much was refunded; each has the status. Of the others most
  // orders are, so that they are read from where all are.
  const refundStatus = filter.refundStatus === undefined ? undefined : parameter(filter.refundStatus, 'text');
  const areRefunded = refundStatus !== undefined && filter.refundStatus !== 'none';
  const byStatus = split || (areRefunded && !columns.includes('status'));

  /** The newest orders with these texts in these columns, one more than the page has. */
  const newest = (wantedNames: string[], wantedTexts: string[]) => {
    const names = areRefunded ? ['refund_status', ...wantedNames] : wantedNames;
    const texts = areRefunded ? [refundStatus, ...wantedTexts] : wantedTexts;
    const key = [...names, 'id'];
    // The indexes by reference hold only orders that have one.
    const ofReference = names.includes('reference') ? 'and reference is not null' : '';
    const ofRefund = areRefunded
      ? `and refund_status <> 'none'`
      : refundStatus
        ? `and refund_status = ${refundStatus}`
        : '';
    const partial = `${ofReference} ${ofRefund}`;
    return `(select id from (
               select ${key.join(', ')} from orders where (${key.join(', ')}) < (${[...texts, high].join(', ')}) ${partial}
                order by ${key.map((name) => `${name} desc`).join(', ')} limit ${count} + 1) as read
              where ${[...names.map((name, index) => `${name} = ${texts[index]}`), `id >= ${low}`].join(' and ')})`;
  };
  /** The one order of a customer and a reference, if it is what else is asked for. */
  const theOne = () => `(select id from (
               select * from orders where reference is not null and ${columns.map(isEqual).join(' and ')} offset 0) as read
              where ${[
                `id >= ${low} and id < ${high}`,
                ...(refundStatus ? [`refund_status = ${refundStatus}`] : []),
                ...given.filter((column) => !columns.includes(column)).map(isEqual),
              ].join(' and ')})`;
  const found = () => {
    if (columns === THE_ONE) return theOne();
    const texts = columns.map((column) => parameter(filter[COLUMNS[column]], 'text'));
    if (!byStatus) return newest(columns, texts);
    return OrderStatus.options
      .map((status) => newest([...columns, 'status'], [...texts, `'${status}'::text`]))
      .join(' union all ');
  };
  return {
    text: `with found as materialized (select id from (${found()}) as read order by id desc limit ${count} + 1),
           page as (
             select page.id, o.state, e.position, ${bytesBefore('o.state', 'page.id desc')} as bytes_before
               from (select id from found order by id desc limit ${count}) as page
              cross join lateral (select state, version from orders where id = page.id offset 0) as o
              cross join lateral (select position from events where order_id = page.id and version = o.version offset 0) as e),
           shown as materialized (select * from page where bytes_before < ${PAGE_BYTES_MAX})
           select state, position, (select count(*) from found) > (select count(*) from shown) as more
             from shown order by id desc`,
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

const THE_ONE: Column[] = ['reference', 'customer_id'];

/**
 * The indexes of the table, the one to prefer first: by these columns and then the id. Of those that are `split` the status
 * stands between, and they are read once for each status. A customer has one order of a reference at most, which the index of
 * the two finds whatever else is asked for.
 */
const INDEXES: Index[] = [
  { columns: THE_ONE, split: false },
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

/** The ids that the times and the page before leave: from `from` on, below `until`. */
function idRange({ placedFrom, placedAfter, placedBefore }: OrderFilter, before: string | undefined) {
  const firstAt = (time: string | undefined, offsetMs: number) =>
    time === undefined ? undefined : firstIdAt(Date.parse(time) + offsetMs);
  const from = [firstAt(placedFrom, 0), firstAt(placedAfter, 1)].reduce<string>(
    (latest, id) => (id !== undefined && id > latest ? id : latest),
    FIRST_ID,
  );
  const bound = firstAt(placedBefore, 0) ?? LAST_ID;
  return { from, until: before !== undefined && before < bound ? before : bound };
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
