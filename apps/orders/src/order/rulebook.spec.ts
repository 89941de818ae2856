import { describe, expect, it } from '@jest/globals';
import { OrderState, type OrderStatus } from '@tandem/contracts/order';
import type { OrderEvent } from '@tandem/contracts/order-events';
import type { StoredRejection } from '@tandem/contracts/rejections';
import type { OrderCommand } from './decide.ts';
import {
  ORDER_ID,
  cancelled,
  cancelledByDecline,
  cancelling,
  closing,
  declined,
  delivered,
  delivering,
  expired,
  expiring,
  given,
  paid,
  placed,
  placing,
  recordingDecline,
  recordingPayment,
  recordingRefund,
  recordingRefundDecline,
  refundClosed,
  refundDeclined,
  refundDue,
  refunded,
  refunding,
  shipped,
  shippedInPart,
  shippedRest,
  shipping,
} from './rulebook.testing.ts';

/** A history for every status, and for every stage within one that commands tell apart. Another status does not compile. */
const HISTORIES = {
  nothing: [],
  placed: [placed],
  paid: [placed, paid],
  shippedInPart: [placed, paid, shippedInPart],
  refundAsked: [placed, paid, refundDue(2990)],
  refundDeclined: [placed, paid, refundDue(2990), refundDeclined(2990)],
  refundClosed: [placed, paid, refundDue(2990), refundDeclined(2990), refundClosed(2990)],
  refundedInPart: [placed, paid, refundDue(1000), refunded(1000)],
  shipped: [placed, paid, shipped],
  delivered: [placed, paid, shipped, delivered],
  cancelled: [placed, cancelled],
  declined: [placed, declined, cancelledByDecline],
  expired: [placed, expired],
  cancelledAndRefundAsked: [placed, paid, cancelled, refundDue(2990)],
  cancelledAndRefundDeclined: [placed, paid, cancelled, refundDue(2990), refundDeclined(2990)],
  cancelledAndRefunded: [placed, paid, cancelled, refundDue(2990), refunded(2990)],
} satisfies Record<OrderStatus, OrderEvent[]> & Record<string, OrderEvent[]>;
type Stage = keyof typeof HISTORIES;

/** Each command as plain as it may be. Another command does not compile until it stands here. */
const COMMANDS: { [T in OrderCommand['type']]: Extract<OrderCommand, { type: T }> } = {
  PlaceOrder: placing(),
  CancelOrder: cancelling(),
  ShipOrder: shipping(),
  ConfirmDelivery: delivering(),
  RefundOrder: refunding(),
  CloseRefund: closing(),
  RecordPayment: recordingPayment(),
  RecordDecline: recordingDecline(),
  RecordRefund: recordingRefund(),
  RecordRefundDecline: recordingRefundDecline(),
  ExpireOrder: expiring,
};

const NOTHING: OrderEvent[] = [];
const tooLate = 'order_closed';
const tooEarly = 'order_not_ready';
const notFound = 'order_not_found';

/** What each command comes to in each stage: the events, or the code of the refusal. A cell that is missing does not compile. */
const CELLS: Record<Stage, Record<OrderCommand['type'], OrderEvent[] | StoredRejection['code']>> = {
  nothing: {
    PlaceOrder: [placed],
    CancelOrder: notFound,
    ShipOrder: notFound,
    ConfirmDelivery: notFound,
    RefundOrder: notFound,
    CloseRefund: notFound,
    RecordPayment: notFound,
    RecordDecline: notFound,
    RecordRefund: notFound,
    RecordRefundDecline: notFound,
    ExpireOrder: notFound,
  },
  placed: {
    PlaceOrder: tooLate,
    CancelOrder: [cancelled],
    ShipOrder: tooEarly,
    ConfirmDelivery: tooEarly,
    RefundOrder: tooEarly,
    CloseRefund: tooEarly,
    RecordPayment: [paid],
    RecordDecline: [declined, cancelledByDecline],
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: [expired],
  },
  paid: {
    PlaceOrder: tooLate,
    CancelOrder: [cancelled, refundDue(2990)],
    ShipOrder: [shipped],
    ConfirmDelivery: tooEarly,
    RefundOrder: [refundDue(2990)],
    CloseRefund: 'refund_unknown',
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  shippedInPart: {
    PlaceOrder: tooLate,
    CancelOrder: 'order_shipped_in_part',
    ShipOrder: [shippedRest],
    ConfirmDelivery: tooEarly,
    RefundOrder: [refundDue(2990)],
    CloseRefund: 'refund_unknown',
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  refundAsked: {
    PlaceOrder: tooLate,
    CancelOrder: [cancelled],
    ShipOrder: 'nothing_to_ship',
    ConfirmDelivery: tooEarly,
    RefundOrder: 'nothing_to_refund',
    CloseRefund: [refundClosed(2990)],
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: [refunded(2990)],
    RecordRefundDecline: [refundDeclined(2990)],
    ExpireOrder: NOTHING,
  },
  refundDeclined: {
    PlaceOrder: tooLate,
    CancelOrder: [cancelled, refundDue(2990, 2)],
    ShipOrder: [shipped],
    ConfirmDelivery: tooEarly,
    RefundOrder: [refundDue(2990, 2)],
    CloseRefund: [refundClosed(2990)],
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: [refunded(2990)],
    RecordRefundDecline: NOTHING,
    ExpireOrder: NOTHING,
  },
  refundClosed: {
    PlaceOrder: tooLate,
    CancelOrder: [cancelled],
    ShipOrder: 'nothing_to_ship',
    ConfirmDelivery: tooEarly,
    RefundOrder: 'nothing_to_refund',
    CloseRefund: 'refund_settled',
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: [refunded(2990)],
    RecordRefundDecline: NOTHING,
    ExpireOrder: NOTHING,
  },
  refundedInPart: {
    PlaceOrder: tooLate,
    CancelOrder: [cancelled, refundDue(1990, 2)],
    ShipOrder: [shipped],
    ConfirmDelivery: tooEarly,
    RefundOrder: [refundDue(1990, 2)],
    CloseRefund: 'refund_settled',
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  shipped: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: [delivered],
    RefundOrder: [refundDue(2990)],
    CloseRefund: 'refund_unknown',
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  delivered: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: tooLate,
    RefundOrder: [refundDue(2990)],
    CloseRefund: 'refund_unknown',
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  cancelled: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: tooLate,
    RefundOrder: tooLate,
    CloseRefund: 'refund_unknown',
    RecordPayment: [paid, refundDue(2990)],
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  declined: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: tooLate,
    RefundOrder: tooLate,
    CloseRefund: 'refund_unknown',
    RecordPayment: [paid, refundDue(2990)],
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  expired: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: tooLate,
    RefundOrder: tooLate,
    CloseRefund: 'refund_unknown',
    RecordPayment: [paid, refundDue(2990)],
    RecordDecline: NOTHING,
    RecordRefund: 'refund_unknown',
    RecordRefundDecline: 'refund_unknown',
    ExpireOrder: NOTHING,
  },
  cancelledAndRefundAsked: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: tooLate,
    RefundOrder: tooLate,
    CloseRefund: [refundClosed(2990)],
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: [refunded(2990)],
    RecordRefundDecline: [refundDeclined(2990)],
    ExpireOrder: NOTHING,
  },
  cancelledAndRefundDeclined: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: tooLate,
    RefundOrder: [refundDue(2990, 2)],
    CloseRefund: [refundClosed(2990)],
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: [refunded(2990)],
    RecordRefundDecline: NOTHING,
    ExpireOrder: NOTHING,
  },
  cancelledAndRefunded: {
    PlaceOrder: tooLate,
    CancelOrder: tooLate,
    ShipOrder: tooLate,
    ConfirmDelivery: tooLate,
    RefundOrder: tooLate,
    CloseRefund: 'refund_settled',
    RecordPayment: NOTHING,
    RecordDecline: NOTHING,
    RecordRefund: NOTHING,
    RecordRefundDecline: NOTHING,
    ExpireOrder: NOTHING,
  },
};

const stages = Object.keys(HISTORIES) as Stage[];
const commands = Object.keys(COMMANDS) as OrderCommand['type'][];
const cells = stages.flatMap((stage) => commands.map((type) => ({ stage, type, comesTo: CELLS[stage][type] })));

describe('the rulebook', () => {
  it.each(cells)('$stage: $type', ({ stage, type, comesTo }) => {
    const history: OrderEvent[] = HISTORIES[stage];
    const { order, when } = given(...history);
    const ruling = when(COMMANDS[type]);
    if (typeof comesTo !== 'string') ruling.then(...comesTo);
    else if (order === undefined) ruling.refuses({ code: comesTo, orderId: ORDER_ID });
    else
      expect(ruling.decision).toEqual({
        rejection: expect.objectContaining({ code: comesTo, status: order.status, version: history.length }),
      });
  });

  it('has a stage of every status, and each stage is what its name says', () => {
    const statuses = OrderState.options.map(({ shape }) => shape.status.value);
    expect([...new Set(stages.map((stage) => given(...HISTORIES[stage]).order?.status))].sort()).toEqual(
      [undefined, ...statuses].sort(),
    );
    for (const status of statuses) expect(given(...HISTORIES[status]).order?.status).toBe(status);
  });

  it.each(stages.filter((stage) => stage !== 'nothing'))(
    '%s: a version that the order does not have refuses whatever a customer or a shop may ask, and comes first',
    (stage) => {
      const history: OrderEvent[] = HISTORIES[stage];
      const { order, when } = given(...history);
      const one = [cancelling({}, 99), shipping([], 99), delivering(99), refunding({}, 99), closing(1, 99)];
      const none = [
        cancelling({}, []),
        shipping([], [98, 99]),
        { ...delivering(), unlessVersion: [99, history.length] },
      ];
      for (const command of [...one, ...none])
        when(command).refuses({ code: 'version_mismatch', status: order?.status, version: history.length });
    },
  );

  it.each(cells)('$stage: $type with the version that the order has is decided as without one', ({ stage, type }) => {
    const command = COMMANDS[type];
    if (!('ifVersion' in command)) return;
    const history: OrderEvent[] = HISTORIES[stage];
    const { decision } = given(...history).when(command);
    for (const met of [{ ifVersion: history.length }, { ifVersion: [99, history.length] }, { unlessVersion: [99] }])
      expect(given(...history).when({ ...command, ...met }).decision).toEqual(decision);
  });
});
