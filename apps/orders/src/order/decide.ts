import { totalOf } from '@tandem/contracts/money';
import type { LineQuantity, OrderState } from '@tandem/contracts/order';
import type {
  CancelOrder,
  ConfirmDelivery,
  PlaceOrder,
  RecordDecline,
  RecordPayment,
  RecordRefund,
  RefundOrder,
  ShipOrder,
} from '@tandem/contracts/order-commands';
import type { OrderEvent } from '@tandem/contracts/order-events';
import type { StoredRejection } from '@tandem/contracts/rejections';

/** What may be asked of one order. `ifVersion` is the version that the caller has seen. */
export type OrderCommand =
  | { type: 'PlaceOrder'; orderId: string; body: PlaceOrder; referenceTakenBy?: string | undefined }
  | { type: 'CancelOrder'; orderId: string; body: CancelOrder; ifVersion?: number | undefined }
  | { type: 'ShipOrder'; orderId: string; body: ShipOrder; ifVersion?: number | undefined }
  | { type: 'ConfirmDelivery'; orderId: string; body: ConfirmDelivery; ifVersion?: number | undefined }
  | { type: 'RefundOrder'; orderId: string; body: RefundOrder; ifVersion?: number | undefined }
  | { type: 'RecordPayment'; orderId: string; body: RecordPayment }
  | { type: 'RecordDecline'; orderId: string; body: RecordDecline }
  | { type: 'RecordRefund'; orderId: string; body: RecordRefund }
  /** The deadline of its payment has passed. */
  | { type: 'ExpireOrder'; orderId: string };

/** Events to append, perhaps none, or the refusal. */
export type Decision = { events: OrderEvent[] } | { rejection: StoredRejection };

const accept = (...events: OrderEvent[]): Decision => ({ events });
const reject = (rejection: StoredRejection): Decision => ({ rejection });

/**
 * Decides one command on one order. Pure: the same arguments give the same decision.
 *
 * What an order is asked may be refused. What is reported of it has happened elsewhere: it is refused only when it is not about
 * this order, and accepted without an event when the order has it already or has moved past it.
 *
 * @param order the order as its events leave it, undefined when there is none.
 */
export function decide(command: OrderCommand, order: OrderState | undefined): Decision {
  if (command.type === 'PlaceOrder') return order === undefined ? place(command) : closed(order);
  if (order === undefined) return reject({ code: 'order_not_found', orderId: command.orderId });
  if ('ifVersion' in command && command.ifVersion !== undefined && command.ifVersion !== order.version)
    return reject({ code: 'version_mismatch', ...met(order) });
  switch (command.type) {
    case 'CancelOrder':
      return cancel(command.body, order);
    case 'ShipOrder':
      return ship(command.body, order);
    case 'ConfirmDelivery':
      return confirmDelivery(order);
    case 'RefundOrder':
      return refund(command.body, order);
    case 'RecordPayment':
      return recordPayment(command.body, order);
    case 'RecordDecline':
      return recordDecline(command.body, order);
    case 'RecordRefund':
      return recordRefund(command.body, order);
    case 'ExpireOrder':
      return expire(order);
  }
}

function place({ body, referenceTakenBy }: Extract<OrderCommand, { type: 'PlaceOrder' }>): Decision {
  const { expectedTotal, customerId, currency, lines, adjustments, ...rest } = body;
  // The contract has bounded the sum by 2^53 − 1.
  const total = Number(totalOf(body));
  if (expectedTotal !== undefined && expectedTotal !== total) return reject({ code: 'total_mismatch', total });
  if (referenceTakenBy !== undefined) return reject({ code: 'reference_taken', orderId: referenceTakenBy });
  const numbered = lines.map((line, index) => ({ id: index + 1, ...line }));
  return accept({
    type: 'order.placed.v1',
    data: { customerId, currency, lines: numbered, adjustments, total, ...rest },
  });
}

/** A placed or paid order may be cancelled until its first shipment; what was paid and not yet asked back goes back. */
function cancel({ reason }: CancelOrder, order: OrderState): Decision {
  const cancelled: OrderEvent = { type: 'order.cancelled.v1', data: { cause: 'customer', ...given({ reason }) } };
  if (order.status === 'placed') return accept(cancelled);
  if (order.status !== 'paid') return closed(order);
  if (order.shipments.length > 0) return reject({ code: 'order_shipped_in_part', ...met(order) });
  const amount = refundable(order);
  return amount === 0 ? accept(cancelled) : accept(cancelled, refundRequested(order, { amount }));
}

/** A paid order may be shipped, in as many parts as it takes. */
function ship({ carrier, trackingCode, lines }: ShipOrder, order: OrderState): Decision {
  if (order.status === 'placed') return notReady(order);
  if (order.status !== 'paid') return closed(order);
  const remaining = remainingOf(order, order.shipments);
  const asked = lines ?? remaining.filter(({ quantity }) => quantity > 0);
  const complete = remaining.every(({ id, quantity }) => quantityOf(id, asked) === quantity);
  const shipmentId = order.shipments.length + 1;
  return (
    refusalOf(asked, remaining, order) ??
    accept({ type: 'order.shipped.v1', data: { shipmentId, carrier, trackingCode, lines: asked, complete } })
  );
}

/** Only an order that was shipped whole may be delivered. */
function confirmDelivery(order: OrderState): Decision {
  if (order.status === 'placed' || order.status === 'paid') return notReady(order);
  return order.status === 'shipped' ? accept({ type: 'order.delivered.v1', data: {} }) : closed(order);
}

/**
 * What was paid may be asked back, in as many parts as it takes: an amount, lines at their unit prices, or all that remains.
 * Refunds are about money, shipments about goods: neither bounds the other.
 */
function refund({ amount, lines, reason }: RefundOrder, order: OrderState): Decision {
  if (order.status === 'placed') return notReady(order);
  if (order.status === 'cancelled') return closed(order);
  const refusal = lines === undefined ? undefined : refusalOf(lines, remainingOf(order, order.refunds), order);
  if (refusal !== undefined) return refusal;
  const remaining = refundable(order);
  // A bigint, because a discount may leave lines that add up to more than 2^53 − 1.
  const asked = lines === undefined ? BigInt(amount ?? remaining) : priceOf(lines, order);
  if (asked === 0n || remaining === 0) return reject({ code: 'nothing_to_refund', ...met(order) });
  if (asked > BigInt(remaining)) return reject({ code: 'refund_exceeded', ...met(order), remaining });
  return accept(refundRequested(order, { amount: Number(asked), ...given({ lines, reason }) }));
}

/** No state refuses a payment: the money has been taken. On a cancelled order it is recorded and asked back at once. */
function recordPayment({ paymentId, amount, currency }: RecordPayment, order: OrderState): Decision {
  if (amount !== order.total || currency !== order.currency)
    return reject({ code: 'payment_mismatch', ...met(order), total: order.total, currency: order.currency });
  const recorded: OrderEvent = { type: 'order.payment-recorded.v1', data: { paymentId, amount, currency } };
  if (order.status === 'placed') return accept(recorded);
  if (order.paid !== undefined)
    return order.paid.paymentId === paymentId
      ? accept()
      : reject({ code: 'already_paid', ...met(order), paymentId: order.paid.paymentId });
  return amount === 0 ? accept(recorded) : accept(recorded, refundRequested(order, { amount }));
}

/** A decline ends an order that still waits for its payment. */
function recordDecline({ reason }: RecordDecline, order: OrderState): Decision {
  if (order.status !== 'placed') return accept();
  return accept(
    { type: 'order.payment-declined.v1', data: { reason } },
    { type: 'order.cancelled.v1', data: { cause: 'declined', reason } },
  );
}

function recordRefund({ refundId, amount, currency }: RecordRefund, order: OrderState): Decision {
  const refunds = order.status === 'placed' ? [] : order.refunds;
  const asked = refunds.find(({ id }) => id === refundId);
  if (asked === undefined || asked.amount !== amount || currency !== order.currency)
    return reject({ code: 'refund_unknown', ...met(order), refundId });
  if (asked.recordedAt !== undefined) return accept();
  return accept({ type: 'order.refund-recorded.v1', data: { refundId, amount, currency } });
}

function expire(order: OrderState): Decision {
  if (order.status !== 'placed') return accept();
  return accept({ type: 'order.cancelled.v1', data: { cause: 'expired' } });
}

/** The states in which money may have come in. */
type AfterPayment = Exclude<OrderState, { status: 'placed' }>;

const met = ({ status, version }: OrderState) => ({ status, version });
const closed = (order: OrderState): Decision => reject({ code: 'order_closed', ...met(order) });
const notReady = (order: OrderState): Decision => reject({ code: 'order_not_ready', ...met(order) });

/** What was paid and has not been asked back yet. */
function refundable({ paid, refunds }: AfterPayment): number {
  return (paid?.amount ?? 0) - refunds.reduce((sum, { amount }) => sum + amount, 0);
}

function refundRequested(
  { refunds, currency }: AfterPayment,
  asked: { amount: number; lines?: LineQuantity[]; reason?: string },
): OrderEvent {
  const { amount, ...rest } = asked;
  return { type: 'order.refund-requested.v1', data: { refundId: refunds.length + 1, amount, currency, ...rest } };
}

/** How much of each line none of these has taken: shipments, or refunds by line. */
function remainingOf(order: OrderState, taken: readonly { lines?: LineQuantity[] | undefined }[]): LineQuantity[] {
  return order.lines.map(({ id, quantity }) => {
    return { id, quantity: quantity - taken.reduce((sum, { lines = [] }) => sum + quantityOf(id, lines), 0) };
  });
}

const quantityOf = (lineId: number, lines: readonly LineQuantity[]) =>
  lines.reduce((sum, { id, quantity }) => (id === lineId ? sum + quantity : sum), 0);

/** The refusal of lines that the order does not have, or of more than remains of them. */
function refusalOf(
  asked: readonly LineQuantity[],
  remaining: readonly LineQuantity[],
  order: OrderState,
): Decision | undefined {
  for (const { id: lineId } of asked) {
    const line = remaining.find(({ id }) => id === lineId);
    if (line === undefined) return reject({ code: 'line_unknown', ...met(order), lineId });
    if (quantityOf(lineId, asked) > line.quantity)
      return reject({ code: 'line_exceeded', ...met(order), lineId, remaining: line.quantity });
  }
  return undefined;
}

function priceOf(asked: readonly LineQuantity[], { lines }: OrderState): bigint {
  const priced = lines.map((line) => ({ ...line, quantity: quantityOf(line.id, asked) }));
  return totalOf({ lines: priced, adjustments: [] });
}

/** The same without the properties that are undefined. */
function given<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
