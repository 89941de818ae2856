import type { OrderState, OrderStatus } from '@tandem/contracts/order';
import type { PaymentWanted, PaymentWantedReply } from '@tandem/contracts/order-queries';
import type { Pool } from 'pg';

/**
 * Tells payments whether an order still waits for a payment or a refund. Under load one statement answers all that were asked in
 * one turn of the event loop, as they arrive in one message.
 */
export class WantedPayments {
  readonly #pool: Pool;
  #gathered: Waiting[] = [];

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  wanted(query: PaymentWanted): Promise<PaymentWantedReply> {
    return new Promise((resolve, reject) => {
      if (this.#gathered.push({ query, resolve, reject }) === 1) setImmediate(() => void this.#answer());
    });
  }

  async #answer(): Promise<void> {
    const gathered = this.#gathered;
    this.#gathered = [];
    try {
      const { rows } = await this.#pool.query<OrderRow>({
        name: 'payments-wanted',
        text: `select id, status, currency, state -> 'total' as total, state -> 'paid' ->> 'paymentId' as "paymentId",
                      state -> 'refunds' as refunds
                 from orders where id = any($1::uuid[])`,
        values: [gathered.map(({ query }) => query.orderId)],
      });
      const orders = new Map(rows.map((row) => [row.id, row]));
      for (const { query, resolve } of gathered) resolve({ wanted: isWanted(query, orders.get(query.orderId)) });
    } catch (error) {
      for (const { reject } of gathered) reject(error as Error);
    }
  }
}

interface Waiting {
  query: PaymentWanted;
  resolve: (reply: PaymentWantedReply) => void;
  reject: (error: Error) => void;
}

interface OrderRow {
  id: string;
  status: OrderStatus;
  currency: string;
  total: number;
  paymentId: string | null;
  refunds: Extract<OrderState, { refunds: unknown }>['refunds'] | null;
}

function isWanted(query: PaymentWanted, order: OrderRow | undefined): PaymentWantedReply['wanted'] {
  if (order === undefined) return 'unknown';
  const { amount, currency, refund: asked } = query;
  if (asked === undefined) {
    if (order.status !== 'placed') return 'no';
    return order.total === amount && order.currency === currency ? 'yes' : 'other';
  }
  const refund = order.refunds?.find(({ id }) => id === asked.refundId);
  if (refund === undefined) return 'unknown';
  if ((refund.recordedAt ?? refund.declined ?? refund.closed) !== undefined) return 'no';
  const isSame = refund.amount === amount && order.currency === currency && order.paymentId === asked.paymentId;
  return isSame ? 'yes' : 'other';
}
