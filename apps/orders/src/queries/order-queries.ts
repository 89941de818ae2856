import { ORDER_EVENT_VERSIONS } from '@tandem/contracts/event-versions';
import type { Order, OrderState } from '@tandem/contracts/order';
import type {
  GetOrder,
  GetOrderReply,
  GetNewestPositionReply,
  ListOrderEvents,
  ListOrderEventsReply,
  ListOrders,
  ListOrdersReply,
} from '@tandem/contracts/order-queries';
import type { Pool } from 'pg';
import { refundStatusOf } from '../order/order.ts';
import { bytesBefore, listStatement, PAGE_BYTES_MAX } from './order-list.ts';

interface OrderRow {
  state: OrderState;
  position: bigint;
}

/** Reads orders and their histories. Each answer is one statement, so it shows one moment. */
export class OrderQueries {
  readonly #pool: Pool;
  readonly #pages: Pool;

  /** Pages have a pool of their own, with few connections: each is read and written in one go, and nothing else runs meanwhile. */
  constructor(pool: Pool, pages: Pool) {
    this.#pool = pool;
    this.#pages = pages;
  }

  async get({ orderId }: GetOrder): Promise<GetOrderReply> {
    const { rows } = await this.#pool.query<OrderRow>({
      name: 'get-order',
      text: `select o.state, e.position
               from orders o join events e on e.order_id = o.id and e.version = o.version
              where o.id = $1`,
      values: [orderId],
    });
    const row = rows[0];
    return { order: row === undefined ? null : orderOf(row) };
  }

  /** Of all events: positions are those of commits, so whoever was told of one finds it here. */
  async newestPosition(): Promise<GetNewestPositionReply> {
    const { rows } = await this.#pool.query<{ newest: bigint | null }>({
      name: 'newest-position',
      text: 'select max(position) as newest from events',
    });
    return { position: Number(rows[0]?.newest ?? 0n) };
  }

  /** Newest first: ids are UUIDs of version 7, whose order is that of placing. */
  async list(query: ListOrders): Promise<ListOrdersReply> {
    const { rows } = await this.#pages.query<OrderRow & { more: boolean }>(listStatement(query));
    return { orders: rows.map(orderOf), more: rows[0]?.more ?? false };
  }

  async events({ orderId, afterVersion, limit }: ListOrderEvents): Promise<ListOrderEventsReply> {
    const { rows } = await this.#pages.query<{
      position: bigint;
      version: number;
      type: string;
      at: Date;
      data: Record<string, unknown>;
      read: number;
    }>({
      name: 'list-order-events',
      text: `select position, version, type, at, data, read::integer
               from (select *, count(*) over () as read, ${bytesBefore('data', 'version')} as bytes_before
                       from (select position, version, type, at, data
                               from events where order_id = $1 and version > $2 order by version limit $3) as found) as page
              where bytes_before < ${PAGE_BYTES_MAX} order by version`,
      values: [orderId, afterVersion, limit + 1],
    });
    const shown = rows.slice(0, limit);
    const events = shown.map(({ position, version, at, ...stored }) => {
      // Whoever asks knows the types of today.
      const event = ORDER_EVENT_VERSIONS.upcast(stored.type, stored.data, { orderId, version, at });
      return { position: Number(position), orderId, version, time: at.toISOString(), ...event };
    });
    const found = events.length > 0 || (await this.get({ orderId })).order !== null;
    return { found, events, more: (rows[0]?.read ?? 0) > shown.length };
  }
}

/** Rows that were written before orders had a `refundStatus` have none in their state. */
const orderOf = ({ state, position }: OrderRow): Order => ({
  ...state,
  refundStatus: refundStatusOf(state),
  position: Number(position),
});
