import { ORDER_EVENT_VERSIONS } from '@tandem/contracts/event-versions';
import type { Order, OrderState } from '@tandem/contracts/order';
import type {
  GetOrder,
  GetOrderReply,
  ListOrderEvents,
  ListOrderEventsReply,
  ListOrders,
  ListOrdersReply,
} from '@tandem/contracts/order-queries';
import type { Pool } from 'pg';
import { refundStatusOf } from '../order/order.ts';
import { listStatement } from './order-list.ts';

interface OrderRow {
  state: OrderState;
  position: bigint;
}

/** Reads orders and their histories. Each answer is one statement, so it shows one moment. */
export class OrderQueries {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
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

  /** Newest first: ids are UUIDs of version 7, whose order is that of placing. */
  async list(query: ListOrders): Promise<ListOrdersReply> {
    const { rows } = await this.#pool.query<OrderRow & { more: boolean }>(listStatement(query));
    return { orders: rows.map(orderOf), more: rows[0]?.more ?? false };
  }

  async events({ orderId, afterVersion, limit }: ListOrderEvents): Promise<ListOrderEventsReply> {
    const { rows } = await this.#pool.query<{
      position: bigint;
      version: number;
      type: string;
      at: Date;
      data: Record<string, unknown>;
    }>({
      name: 'list-order-events',
      text: `select position, version, type, at, data
               from events where order_id = $1 and version > $2 order by version limit $3`,
      values: [orderId, afterVersion, limit + 1],
    });
    const events = rows.slice(0, limit).map(({ position, version, at, ...stored }) => {
      // Whoever asks knows the types of today.
      const event = ORDER_EVENT_VERSIONS.upcast(stored.type, stored.data, { orderId, version, at });
      return { position: Number(position), orderId, version, time: at.toISOString(), ...event };
    });
    const found = events.length > 0 || (await this.get({ orderId })).order !== null;
    return { found, events, more: rows.length > limit };
  }
}

/** Rows that were written before orders had a `refundStatus` have none in their state. */
const orderOf = ({ state, position }: OrderRow): Order => ({
  ...state,
  refundStatus: refundStatusOf(state),
  position: Number(position),
});
