import type { OrderState, RefundStatus } from '@tandem/contracts/order';
import type { OrderEvent } from '@tandem/contracts/order-events';

/** An event with what the store knows of it: whose it is, which of the order's events, and when it was decided. */
export type Recorded<E extends OrderEvent = OrderEvent> = E & { orderId: string; version: number; at: string };

/**
 * The order after one more event. It never refuses: what was recorded did happen. An event that changes nothing in the
 * state it meets still counts as a version.
 *
 * @param order undefined before the first event.
 */
export function evolve(order: OrderState | undefined, event: Recorded): OrderState {
  return withRefundStatus(advance(order === undefined ? undefined : copyOf(order), event));
}

/** The order that a whole history leaves, in time that is linear in its length. */
export function fold(history: Iterable<Recorded>): OrderState | undefined {
  let order: OrderState | undefined;
  for (const event of history) order = advance(order, event);
  return order === undefined ? undefined : withRefundStatus(order);
}

/** How much of what was paid has been given back. */
export function refundStatusOf(order: Omit<OrderState, 'refundStatus'>): RefundStatus {
  const { paid, refunds = [] } = order as { paid?: Paid; refunds?: Refund[] };
  let refunded = 0;
  for (const { amount, recordedAt } of refunds) if (recordedAt !== undefined) refunded += amount;
  if (refunded === 0) return 'none';
  return refunded < (paid?.amount ?? 0) ? 'partial' : 'full';
}

type AfterPayment = Extract<OrderState, { refunds: unknown[] }>;
type Paid = NonNullable<AfterPayment['paid']>;
type Refund = AfterPayment['refunds'][number];

/**
 * Takes the order over: its shipments and refunds are changed in place, because copying them for each event made a fold
 * quadratic. `refundStatus` is left behind, for the same reason.
 */
function advance(order: OrderState | undefined, event: Recorded): OrderState {
  if (order === undefined) return opened(event);
  const { version, at } = event;
  switch (event.type) {
    case 'order.placed.v1':
    case 'order.payment-declined.v1':
      return { ...order, version };
    case 'order.payment-recorded.v1': {
      const { paymentId, amount } = event.data;
      const paid = { paymentId, amount, at };
      // A payment that arrives after the cancellation leaves the order cancelled, and its money to be refunded.
      if (order.status === 'cancelled') return { ...order, version, paid };
      return order.status === 'placed'
        ? { ...order, version, status: 'paid', paid, shipments: [], refunds: [] }
        : { ...order, version, paid };
    }
    case 'order.shipped.v1': {
      if (order.status === 'placed' || order.status === 'cancelled') return { ...order, version };
      const { shipmentId: id, carrier, trackingCode, lines, complete } = event.data;
      const shipment = defined({ id, carrier, trackingCode, lines, at });
      order.shipments.push(shipment);
      return complete && order.status === 'paid' ? { ...order, version, status: 'shipped' } : { ...order, version };
    }
    case 'order.delivered.v1':
      return order.status === 'shipped'
        ? { ...order, version, status: 'delivered', deliveredAt: at }
        : { ...order, version };
    case 'order.cancelled.v1': {
      if (order.status === 'cancelled') return { ...order, version };
      const cancellation = defined({ cause: event.data.cause, reason: event.data.reason, at });
      const paid = order.status === 'placed' ? {} : { paid: order.paid };
      const refunds = order.status === 'placed' ? [] : order.refunds;
      return { id: order.id, version, status: 'cancelled', ...commonOf(order), cancellation, ...paid, refunds };
    }
    case 'order.refund-requested.v1': {
      if (order.status === 'placed') return { ...order, version };
      const { refundId: id, amount, lines, reason } = event.data;
      order.refunds.push(defined({ id, amount, lines, reason, requestedAt: at }));
      return { ...order, version };
    }
    case 'order.refund-recorded.v1':
      return withRefund(order, event, { recordedAt: at });
    case 'order.refund-declined.v1':
      return withRefund(order, event, { declined: { reason: event.data.reason, at } });
    case 'order.refund-closed.v1':
      return withRefund(order, event, { closed: { reason: event.data.reason, at } });
  }
}

function withRefund(
  order: OrderState,
  { version, data: { refundId } }: { version: number; data: { refundId: number } },
  changes: Partial<Refund>,
): OrderState {
  if (order.status === 'placed') return { ...order, version };
  // Refunds are numbered from 1 in the order in which they were asked for.
  const index = refundId - 1;
  const refund = order.refunds[index];
  if (refund?.id === refundId) order.refunds[index] = { ...refund, ...changes };
  return { ...order, version };
}

function copyOf(order: OrderState): OrderState {
  const copy = { ...order };
  if ('shipments' in copy) copy.shipments = [...copy.shipments];
  if ('refunds' in copy) copy.refunds = [...copy.refunds];
  return copy;
}

const withRefundStatus = (order: OrderState): OrderState => ({ ...order, refundStatus: refundStatusOf(order) });

function opened(event: Recorded): OrderState {
  // The stream of an order starts with its placing: `decide` gives nothing else on an order that is not there.
  const data = event.data as Extract<OrderEvent, { type: 'order.placed.v1' }>['data'];
  return {
    id: event.orderId,
    version: event.version,
    status: 'placed',
    ...data,
    refundStatus: 'none',
    placedAt: event.at,
  };
}

/** What was ordered, in whatever state. */
function commonOf(order: OrderState) {
  const { customerId, currency, lines, adjustments, total, delivery, payment, placedAt, reference, metadata } = order;
  const { refundStatus } = order;
  const common = { customerId, currency, lines, adjustments, total, delivery, payment, refundStatus, placedAt };
  return defined({ ...common, reference, metadata });
}

/** The same without the properties that are undefined, so that a fold equals what was read back from JSON. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
