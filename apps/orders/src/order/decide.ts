import { amountOf } from '@tandem/contracts/line-amounts';
import { totalOf } from '@tandem/contracts/money';
import type { LineQuantity, OrderState } from '@tandem/contracts/order';
import type {
  CancelOrder,
  CloseRefund,
  ConfirmDelivery,
  PlaceOrder,
  RecordDecline,
  RecordPayment,
  RecordRefund,
  RecordRefundDecline,
  RefundOrder,
  ShipOrder,
  VersionConditions,
} from '@tandem/contracts/order-commands';
import type { OrderEvent } from '@tandem/contracts/order-events';
import type { StoredRejection } from '@tandem/contracts/rejections';

/** What may be asked of one order. */
export type OrderCommand =
  | { type: 'PlaceOrder'; orderId: string; body: PlaceOrder; referenceTakenBy?: string | undefined }
  | ({ type: 'CancelOrder'; orderId: string; body: CancelOrder } & VersionConditions)
  | ({ type: 'ShipOrder'; orderId: string; body: ShipOrder } & VersionConditions)
  | ({ type: 'ConfirmDelivery'; orderId: string; body: ConfirmDelivery } & VersionConditions)
  | ({ type: 'RefundOrder'; orderId: string; body: RefundOrder } & VersionConditions)
  | ({ type: 'CloseRefund'; orderId: string; refundId: number; body: CloseRefund } & VersionConditions)
  | { type: 'RecordPayment'; orderId: string; body: RecordPayment }
  | { type: 'RecordDecline'; orderId: string; body: RecordDecline }
  | { type: 'RecordRefund'; orderId: string; body: RecordRefund }
  | { type: 'RecordRefundDecline'; orderId: string; body: RecordRefundDecline }
  /** The deadline of its payment has passed. */
  | { type: 'ExpireOrder'; orderId: string };

export interface OrderLimits {
  /** The most that an order may cost, in minor units. */
  totalMax: number;
  /** An order with so many events takes no more shipments and refunds, but of all that remains. */
  eventsMax: number;
}

/** What the limits are unless they are set. */
export const ORDER_LIMITS: OrderLimits = { totalMax: 1_000_000_000_000, eventsMax: 500 };

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
export function decide(
  command: OrderCommand,
  order: OrderState | undefined,
  { totalMax, eventsMax }: OrderLimits = ORDER_LIMITS,
): Decision {
  if (command.type === 'PlaceOrder') return order === undefined ? place(command, totalMax) : closed(order);
  if (order === undefined) return reject({ code: 'order_not_found', orderId: command.orderId });
  if (!holds(command, order.version)) return reject({ code: 'version_mismatch', ...met(order) });
  if (isTooMuch(command, order.version, eventsMax))
    return reject({ code: 'too_many_events', ...met(order), eventsMax });
  switch (command.type) {
    case 'CancelOrder':
      return cancel(command.body, order);
    case 'ShipOrder':
      return ship(command.body, order);
    case 'ConfirmDelivery':
      return confirmDelivery(order);
    case 'RefundOrder':
      return refund(command.body, order);
    case 'CloseRefund':
      return closeRefund(command, order);
    case 'RecordPayment':
      return recordPayment(command.body, order);
    case 'RecordDecline':
      return recordDecline(command.body, order);
    case 'RecordRefund':
      return recordRefund(command.body, order);
    case 'RecordRefundDecline':
      return recordRefundDecline(command.body, order);
    case 'ExpireOrder':
      return expire(order);
  }
}

/** Whether the order has a version with which the command may be carried out. */
function holds({ ifVersion, unlessVersion }: VersionConditions & { type: string }, version: number): boolean {
  const matches =
    ifVersion === undefined || (Array.isArray(ifVersion) ? ifVersion.includes(version) : ifVersion === version);
  return matches && unlessVersion?.includes(version) !== true;
}

/**
 * Only shipments and refunds may be asked for again and again: everything else comes once, or once of each refund. What takes all
 * that remains is the last of its kind, unless the refund is declined, and no order shall be stuck with goods or money.
 */
function isTooMuch(command: OrderCommand, version: number, eventsMax: number): boolean {
  if (command.type !== 'ShipOrder' && command.type !== 'RefundOrder') return false;
  const { lines, amount } = { amount: undefined, ...command.body };
  const isRest = lines === undefined && amount === undefined;
  return version >= (isRest ? 2 * eventsMax : eventsMax);
}

/** An order that costs nothing is paid with its placing: nobody needs to be asked. */
function place({ body, referenceTakenBy }: Extract<OrderCommand, { type: 'PlaceOrder' }>, totalMax: number): Decision {
  const { expectedTotal, customerId, currency, lines, adjustments, ...rest } = body;
  // The contract has bounded the sum by 2^53 − 1.
  const total = Number(totalOf(body));
  if (expectedTotal !== undefined && expectedTotal !== total) return reject({ code: 'total_mismatch', total });
  if (total > totalMax) return reject({ code: 'total_too_large', total, totalMax });
  if (referenceTakenBy !== undefined) return reject({ code: 'reference_taken', orderId: referenceTakenBy });
  const numbered = lines.map((line, index) => ({ id: index + 1, ...line }));
  const placed: OrderEvent = {
    type: 'order.placed.v1',
    data: { customerId, currency, lines: numbered, adjustments, total, ...rest },
  };
  if (total > 0) return accept(placed);
  return accept(placed, { type: 'order.payment-recorded.v1', data: { paymentId: 'free', amount: 0, currency } });
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

/** A paid order may be shipped, in as many parts as it takes, except for what was refunded by its lines, or whole. */
function ship({ carrier, trackingCode, lines }: ShipOrder, order: OrderState): Decision {
  if (order.status === 'placed') return notReady(order);
  if (order.status !== 'paid') return closed(order);
  const remaining = shippable(order);
  if (isRefundedWhole(order) || remaining.every(({ quantity }) => quantity === 0))
    return reject({ code: 'nothing_to_ship', ...met(order) });
  const asked = lines ?? remaining.filter(({ quantity }) => quantity > 0);
  const complete = remaining.every(({ id, quantity }) => quantityOf(id, asked) === quantity);
  const shipmentId = order.shipments.length + 1;
  return (
    refusalOf(asked, remaining, order) ??
    accept({ type: 'order.shipped.v1', data: { shipmentId, carrier, trackingCode, lines: asked, complete } })
  );
}

/**
 * Only an order that was shipped whole may be delivered, or one of which the rest has been refunded since: then its last shipment
 * was that before.
 */
function confirmDelivery(order: OrderState): Decision {
  const delivered: OrderEvent = { type: 'order.delivered.v1', data: {} };
  if (order.status === 'placed') return notReady(order);
  if (order.status !== 'paid') return order.status === 'shipped' ? accept(delivered) : closed(order);
  const isOver = isRefundedWhole(order) || shippable(order).every(({ quantity }) => quantity === 0);
  if (order.shipments.length === 0 || !isOver) return notReady(order);
  const shipmentId = order.shipments.length + 1;
  return accept({ type: 'order.shipped.v1', data: { shipmentId, lines: [], complete: true } }, delivered);
}

/**
 * What was paid may be asked back, in as many parts as it takes: an amount, lines with their share of the adjustments, or all
 * that remains. Of a cancelled order that is what was declined: everything was asked back when it was cancelled.
 */
function refund({ amount, lines, reason }: RefundOrder, order: OrderState): Decision {
  if (order.status === 'placed') return notReady(order);
  const remaining = refundable(order);
  if (order.status === 'cancelled' && remaining === 0) return closed(order);
  const taken = order.refunds.filter(isTaken);
  const refusal = lines === undefined ? undefined : refusalOf(lines, remainingOf(order, taken), order);
  if (refusal !== undefined) return refusal;
  const asked = lines === undefined ? (amount ?? remaining) : amountOfLines(lines, taken, order);
  if (asked === 0 || remaining === 0) return reject({ code: 'nothing_to_refund', ...met(order) });
  if (asked > remaining) return reject({ code: 'refund_exceeded', ...met(order), remaining });
  return accept(refundRequested(order, { amount: asked, ...given({ lines, reason }) }));
}

/**
 * The rest of what these lines and those refunded before cost together. So rounding evens out, whatever was declined in between,
 * and all lines come to the total.
 */
function amountOfLines(lines: readonly LineQuantity[], taken: readonly Refund[], order: OrderState): number {
  const before = taken.filter((each) => each.lines !== undefined);
  const paidBefore = before.reduce((sum, { amount }) => sum + amount, 0);
  const pieces = quantitiesOf([...before.map((each) => each.lines ?? []), lines]);
  const together = amountOf(
    [...pieces].map(([id, quantity]) => ({ id, quantity })),
    order,
  );
  return Math.max(0, Number(together) - paidBefore);
}

/**
 * A refund that nobody will make, or that was made in another way, is closed by hand. Its amount stays asked back, so that it is not
 * paid twice.
 */
function closeRefund(
  { refundId, body: { reason } }: Extract<OrderCommand, { type: 'CloseRefund' }>,
  order: OrderState,
): Decision {
  if (order.status === 'placed') return notReady(order);
  const asked = order.refunds.find(({ id }) => id === refundId);
  if (asked === undefined) return reject({ code: 'refund_unknown', ...met(order), refundId });
  if (asked.recordedAt !== undefined || asked.closed !== undefined)
    return reject({ code: 'refund_settled', ...met(order), refundId });
  return (
    refusalToTakeAgain(asked, order) ??
    accept({
      type: 'order.refund-closed.v1',
      data: { refundId, amount: asked.amount, currency: order.currency, reason },
    })
  );
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

/** One that was declined before is recorded as far as its amount has not been asked for again. */
function recordRefund({ refundId, amount, currency }: RecordRefund, order: OrderState): Decision {
  const asked = refundOf(order, { refundId, amount, currency });
  if (asked === undefined || order.status === 'placed')
    return reject({ code: 'refund_unknown', ...met(order), refundId });
  if (asked.recordedAt !== undefined) return accept();
  return (
    refusalToTakeAgain(asked, order) ??
    accept({ type: 'order.refund-recorded.v1', data: { refundId, amount, currency } })
  );
}

/** No state refuses it. A refund that was made or closed needs no decline any more. */
function recordRefundDecline({ reason, ...data }: RecordRefundDecline, order: OrderState): Decision {
  const { refundId } = data;
  const asked = refundOf(order, data);
  if (asked === undefined) return reject({ code: 'refund_unknown', ...met(order), refundId });
  if (asked.recordedAt !== undefined || asked.declined !== undefined || asked.closed !== undefined) return accept();
  return accept({ type: 'order.refund-declined.v1', data: { ...data, reason } });
}

/** The refund that is meant, if the order asked for it so. */
function refundOf(order: OrderState, { refundId, amount, currency }: RecordRefund): Refund | undefined {
  if (order.status === 'placed' || currency !== order.currency) return undefined;
  return order.refunds.find((refund) => refund.id === refundId && refund.amount === amount);
}

function expire(order: OrderState): Decision {
  if (order.status !== 'placed') return accept();
  return accept({ type: 'order.cancelled.v1', data: { cause: 'expired' } });
}

/** The states in which money may have come in. */
type AfterPayment = Exclude<OrderState, { status: 'placed' }>;
type Refund = AfterPayment['refunds'][number];

const met = ({ status, version }: OrderState) => ({ status, version });
const closed = (order: OrderState): Decision => reject({ code: 'order_closed', ...met(order) });
const notReady = (order: OrderState): Decision => reject({ code: 'order_not_ready', ...met(order) });

/** A decline frees the amount and the lines of a refund. */
const isTaken = ({ recordedAt, declined, closed }: Refund) =>
  declined === undefined || recordedAt !== undefined || closed !== undefined;

/** What was paid and has not been asked back, or was declined. */
function refundable({ paid, refunds }: AfterPayment): number {
  return (paid?.amount ?? 0) - refunds.filter(isTaken).reduce((sum, { amount }) => sum + amount, 0);
}

const isRefundedWhole = (order: AfterPayment) =>
  order.paid !== undefined && order.paid.amount > 0 && refundable(order) === 0;

/** The refusal of a declined refund whose amount or lines have been asked for again. */
function refusalToTakeAgain(asked: Refund, order: AfterPayment): Decision | undefined {
  if (isTaken(asked)) return undefined;
  const remaining = refundable(order);
  if (asked.amount > remaining) return reject({ code: 'refund_exceeded', ...met(order), remaining });
  return refusalOf(asked.lines ?? [], remainingOf(order, order.refunds.filter(isTaken)), order);
}

function refundRequested(
  { refunds, currency }: AfterPayment,
  asked: { amount: number; lines?: LineQuantity[]; reason?: string },
): OrderEvent {
  const { amount, ...rest } = asked;
  return { type: 'order.refund-requested.v1', data: { refundId: refunds.length + 1, amount, currency, ...rest } };
}

/** What is neither shipped nor refunded by line. A refund is of what was not shipped, as long as there is such. */
function shippable(order: Exclude<AfterPayment, { status: 'cancelled' }>): LineQuantity[] {
  return remainingOf(order, [...order.shipments, ...order.refunds.filter(isTaken)]);
}

/** How much of each line none of these has taken: shipments, or refunds by line. */
function remainingOf(order: OrderState, taken: readonly { lines?: LineQuantity[] | undefined }[]): LineQuantity[] {
  const quantities = quantitiesOf(taken.map(({ lines = [] }) => lines));
  return order.lines.map(({ id, quantity }) => ({ id, quantity: Math.max(0, quantity - (quantities.get(id) ?? 0)) }));
}

/** How much these name of each line together. */
function quantitiesOf(lists: readonly (readonly LineQuantity[])[]): Map<number, number> {
  const quantities = new Map<number, number>();
  for (const lines of lists)
    for (const { id, quantity } of lines) quantities.set(id, (quantities.get(id) ?? 0) + quantity);
  return quantities;
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

/** The same without the properties that are undefined. */
function given<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
