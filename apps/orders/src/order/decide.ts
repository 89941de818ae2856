import { totalOf } from '@tandem/contracts/money';
import type { OrderState } from '@tandem/contracts/order';
import type { CancelOrder, PlaceOrder } from '@tandem/contracts/order-commands';
import type { OrderEvent } from '@tandem/contracts/order-events';
import type { StoredRejection } from '@tandem/contracts/rejections';

/** What may be asked of one order. `ifVersion` is the version that the caller has seen. */
export type OrderCommand =
  | { type: 'PlaceOrder'; orderId: string; body: PlaceOrder; referenceTakenBy?: string | undefined }
  | { type: 'CancelOrder'; orderId: string; body: CancelOrder; ifVersion?: number | undefined };

/** Events to append, or the refusal. */
export type Decision = { events: OrderEvent[] } | { rejection: StoredRejection };

const accept = (...events: OrderEvent[]): Decision => ({ events });
const reject = (rejection: StoredRejection): Decision => ({ rejection });

/**
 * Decides one command on one order. Pure: the same arguments give the same decision.
 *
 * @param order the order as its events leave it, undefined when there is none.
 */
export function decide(command: OrderCommand, order: OrderState | undefined): Decision {
  if (command.type === 'PlaceOrder') return place(command);
  if (order === undefined) return reject({ code: 'order_not_found', orderId: command.orderId });
  const { status, version } = order;
  if (command.ifVersion !== undefined && command.ifVersion !== version)
    return reject({ code: 'version_mismatch', status, version });
  return cancel(command.body, order);
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

/** A placed or paid order may be cancelled; what was paid and not yet refunded goes back. */
function cancel({ reason }: CancelOrder, order: OrderState): Decision {
  const { status, version, currency } = order;
  const cancelled: OrderEvent = {
    type: 'order.cancelled.v1',
    data: { cause: 'customer', ...(reason === undefined ? {} : { reason }) },
  };
  if (order.status === 'placed') return accept(cancelled);
  if (order.status !== 'paid' || order.shipments.length > 0) return reject({ code: 'order_closed', status, version });
  const amount = order.paid.amount - order.refunds.reduce((sum, refund) => sum + refund.amount, 0);
  if (amount === 0) return accept(cancelled);
  const refundId = order.refunds.length + 1;
  return accept(cancelled, { type: 'order.refund-requested.v1', data: { refundId, amount, currency } });
}
