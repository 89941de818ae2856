import { describe, it } from '@jest/globals';
import type { OrderEvent } from '@tandem/contracts/order-events';
import { ORDER_LIMITS } from './decide.ts';
import {
  ORDER_ID,
  cancelled,
  cancelling,
  closing,
  delivered,
  delivering,
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

describe('placing an order', () => {
  it('numbers the lines, adds up the total and fills in standard delivery and payment by card', () => {
    given().when(placing()).then(placed);
  });

  it('keeps what the caller chose', () => {
    const chosen = {
      delivery: 'express',
      payment: { method: 'invoice' },
      reference: 'cart-77',
      metadata: { channel: 'app' },
    } as const;
    given()
      .when(placing(chosen))
      .then({ ...placed, data: { ...placed.data, ...chosen } } as typeof placed);
  });

  it('accepts the expected total when it is right', () => {
    given()
      .when(placing({ expectedTotal: 2990 }))
      .then(placed);
  });

  it('is refused, with the total that it comes to, when the expected total is wrong', () => {
    given()
      .when(placing({ expectedTotal: 2989 }))
      .refuses({ code: 'total_mismatch', total: 2990 });
  });

  it('is refused when the customer has used the reference for another order', () => {
    const other = '0197c6f0-0000-7000-8000-000000000000';
    given()
      .when({ ...placing({ reference: 'cart-77' }), referenceTakenBy: other })
      .refuses({ code: 'reference_taken', orderId: other });
  });

  it('is paid at once when it costs nothing: nobody is asked for nothing', () => {
    const { decision } = given().when(placing({ adjustments: [{ kind: 'discount', amount: -2500 }] }));
    expect(decision).toMatchObject({
      events: [
        { type: 'order.placed.v1', data: { total: 0 } },
        { type: 'order.payment-recorded.v1', data: { amount: 0, currency: 'EUR' } },
      ],
    });
  });

  it('is refused when it costs more than one order may, with both', () => {
    given()
      .when(placing({ adjustments: [{ kind: 'tax', amount: 1_000_000_000_000 - 2_499 }] }))
      .refuses({ code: 'total_too_large', total: 1_000_000_000_001, totalMax: 1_000_000_000_000 });
    given()
      .when(placing(), { ...ORDER_LIMITS, totalMax: 2990 })
      .then(placed);
    given()
      .when(placing(), { ...ORDER_LIMITS, totalMax: 2989 })
      .refuses({ code: 'total_too_large', total: 2990, totalMax: 2989 });
  });
});

describe('cancelling an order', () => {
  it('that nobody has paid ends it', () => {
    given(placed).when(cancelling()).then(cancelled);
  });

  it('keeps the reason', () => {
    given(placed)
      .when(cancelling({ reason: 'changed my mind' }))
      .then({ type: 'order.cancelled.v1', data: { cause: 'customer', reason: 'changed my mind' } });
  });

  it('that was paid asks for the refund of what was paid', () => {
    given(placed, paid).when(cancelling()).then(cancelled, refundDue(2990));
  });

  it('that was refunded in part asks for the rest', () => {
    given(placed, paid, refundDue(1000)).when(cancelling()).then(cancelled, refundDue(1990, 2));
  });

  it('that was refunded whole asks for nothing more', () => {
    given(placed, paid, refundDue(2990)).when(cancelling()).then(cancelled);
  });

  it.each([
    ['shipped', [placed, paid, shipped], 'shipped'],
    ['delivered', [placed, paid, shipped, delivered], 'delivered'],
    ['cancelled', [placed, cancelled], 'cancelled'],
  ] as const)('that was %s is refused with the state it met', (_state, history, status) => {
    given(...history)
      .when(cancelling())
      .refuses({ code: 'order_closed', status, version: history.length });
  });

  it('that was shipped in part is refused for that, though it is still paid', () => {
    given(placed, paid, shippedInPart)
      .when(cancelling())
      .refuses({ code: 'order_shipped_in_part', status: 'paid', version: 3 });
  });

  it('that does not exist is refused', () => {
    given().when(cancelling()).refuses({ code: 'order_not_found', orderId: ORDER_ID });
  });

  it('with the version that the caller has seen is accepted', () => {
    given(placed).when(cancelling({}, 1)).then(cancelled);
  });

  it('with another version is refused with the current one, whatever the state', () => {
    given(placed, cancelled)
      .when(cancelling({}, 1))
      .refuses({ code: 'version_mismatch', status: 'cancelled', version: 2 });
  });
});

/** Two lines, of 3 × 100 and 1 × 1000, less a discount of 50. */
const twoLines = {
  type: 'order.placed.v1',
  data: {
    ...(placed.data as Extract<typeof placed, { type: 'order.placed.v1' }>['data']),
    lines: [
      { id: 1, sku: 'A-1', quantity: 3, unitPrice: 100 },
      { id: 2, sku: 'B-2', quantity: 1, unitPrice: 1000 },
    ],
    adjustments: [{ kind: 'discount', amount: -50 }],
    total: 1250,
  },
} satisfies OrderEvent;
const paidTwoLines: OrderEvent = {
  type: 'order.payment-recorded.v1',
  data: { paymentId: 'p-1', amount: 1250, currency: 'EUR' },
};
const shipment = (shipmentId: number, lines: { id: number; quantity: number }[], complete: boolean): OrderEvent => ({
  type: 'order.shipped.v1',
  data: { shipmentId, carrier: 'post', trackingCode: 'RR1', lines, complete },
});

describe('shipping an order', () => {
  it('ships all that remains, unless lines are named', () => {
    const first = shipment(1, [{ id: 1, quantity: 2 }], false);
    given(twoLines, paidTwoLines)
      .when(shipping([{ id: 1, quantity: 2 }]))
      .then(first);
    given(twoLines, paidTwoLines, first)
      .when(shipping())
      .then(
        shipment(
          2,
          [
            { id: 1, quantity: 1 },
            { id: 2, quantity: 1 },
          ],
          true,
        ),
      );
  });

  it('leaves out of the rest what was shipped whole', () => {
    const first = shipment(1, [{ id: 2, quantity: 1 }], false);
    given(twoLines, paidTwoLines, first)
      .when(shipping())
      .then(shipment(2, [{ id: 1, quantity: 3 }], true));
  });

  it('is complete with the shipment after which nothing remains, by name too', () => {
    given(placed, paid, shippedInPart)
      .when(shipping([{ id: 1, quantity: 1 }]))
      .then(shippedRest);
  });

  it('is refused for more than remains of a line, with what remains', () => {
    given(placed, paid, shippedInPart)
      .when(shipping([{ id: 1, quantity: 2 }]))
      .refuses({ code: 'line_exceeded', status: 'paid', version: 3, lineId: 1, remaining: 1 });
  });

  it('is refused for a line that the order does not have', () => {
    given(placed, paid)
      .when(shipping([{ id: 7, quantity: 1 }]))
      .refuses({ code: 'line_unknown', status: 'paid', version: 2, lineId: 7 });
  });

  it('ships all of an order of which an amount was refunded', () => {
    given(placed, paid, refundDue(2989)).when(shipping()).then(shipped);
  });

  it('is refused when the order was refunded whole, until the refund is declined', () => {
    for (const command of [shipping(), shipping([{ id: 1, quantity: 1 }])]) {
      given(placed, paid, refundDue(2990))
        .when(command)
        .refuses({ code: 'nothing_to_ship', status: 'paid', version: 3 });
    }
    given(placed, paid, refundDue(2990), refundDeclined(2990)).when(shipping()).then(shipped);
  });

  it('leaves out, and is refused for, what was refunded by its lines', () => {
    const refund = refundDue(264, 1, [{ id: 1, quantity: 2 }]);
    given(twoLines, paidTwoLines, refund)
      .when(shipping())
      .then(
        shipment(
          1,
          [
            { id: 1, quantity: 1 },
            { id: 2, quantity: 1 },
          ],
          true,
        ),
      );
    given(twoLines, paidTwoLines, refund)
      .when(shipping([{ id: 1, quantity: 2 }]))
      .refuses({ code: 'line_exceeded', status: 'paid', version: 3, lineId: 1, remaining: 1 });
  });

  it('is not bounded by the refund of pieces that were shipped', () => {
    const history = [shipment(1, [{ id: 1, quantity: 3 }], false), refundDue(288, 1, [{ id: 1, quantity: 3 }])];
    given(twoLines, paidTwoLines, ...history)
      .when(shipping())
      .then(shipment(2, [{ id: 2, quantity: 1 }], true));
  });

  it('ships an order that cost nothing', () => {
    const free = { ...placed, data: { ...placed.data, total: 0 } } as OrderEvent;
    const nothing = {
      type: 'order.payment-recorded.v1',
      data: { paymentId: 'free', amount: 0, currency: 'EUR' },
    } as const;
    given(free, nothing).when(shipping()).then(shipped);
  });
});

describe('confirming a delivery', () => {
  it('waits for the last shipment', () => {
    given(placed, paid, shippedInPart)
      .when(delivering())
      .refuses({ code: 'order_not_ready', status: 'paid', version: 3 });
    given(placed, paid, shippedInPart, shippedRest).when(delivering()).then(delivered);
  });

  it('ends an order of which a part was shipped and the rest refunded: its last shipment holds nothing', () => {
    const last: OrderEvent = { type: 'order.shipped.v1', data: { shipmentId: 2, lines: [], complete: true } };
    const refunds = [refundDue(1495, 1, [{ id: 1, quantity: 1 }]), refundDue(2990)];
    for (const refund of refunds) given(placed, paid, shippedInPart, refund).when(delivering()).then(last, delivered);
    given(placed, paid, shippedInPart, refundDue(1495, 1, [{ id: 1, quantity: 1 }]))
      .when(shipping())
      .refuses({ code: 'nothing_to_ship', status: 'paid', version: 4 });
    given(placed, paid, refundDue(2990))
      .when(delivering())
      .refuses({ code: 'order_not_ready', status: 'paid', version: 3 });
  });
});

describe('refunding an order', () => {
  it('gives back an amount, again and again, until nothing remains', () => {
    given(placed, paid)
      .when(refunding({ amount: 1000 }))
      .then(refundDue(1000));
    given(placed, paid, refundDue(1000))
      .when(refunding({ amount: 1990 }))
      .then(refundDue(1990, 2));
    given(placed, paid, refundDue(1000), refundDue(1990, 2))
      .when(refunding({ amount: 1 }))
      .refuses({ code: 'nothing_to_refund', status: 'paid', version: 4 });
  });

  it('keeps the reason', () => {
    given(placed, paid, shipped)
      .when(refunding({ amount: 5, reason: 'late' }))
      .then({
        type: 'order.refund-requested.v1',
        data: { refundId: 1, amount: 5, currency: 'EUR', reason: 'late' },
      });
  });

  it('is refused for more than remains, with what remains', () => {
    given(placed, paid, refundDue(1000), refunded(1000))
      .when(refunding({ amount: 1991 }))
      .refuses({ code: 'refund_exceeded', status: 'paid', version: 4, remaining: 1990 });
  });

  it('by lines gives back their share of the adjustments, and all lines come to the total', () => {
    const [one, two] = [
      [{ id: 1, quantity: 2 }],
      [
        { id: 1, quantity: 1 },
        { id: 2, quantity: 1 },
      ],
    ];
    // Of 1250 line 1 has 300/1300, 288.46…, and line 2 961.54…, which is rounded up: 288 is 3 × 96.
    given(twoLines, paidTwoLines)
      .when(refunding({ lines: one }))
      .then(refundDue(192, 1, one));
    given(twoLines, paidTwoLines, refundDue(192, 1, one))
      .when(refunding({ lines: two }))
      .then(refundDue(1058, 2, two));
  });

  it('by lines includes shipping', () => {
    const lines = [{ id: 1, quantity: 2 }];
    given(placed, paid)
      .when(refunding({ lines }))
      .then(refundDue(2990, 1, lines));
  });

  it('by lines is bounded by what remains of each line', () => {
    given(twoLines, paidTwoLines, refundDue(200, 1, [{ id: 1, quantity: 2 }]))
      .when(refunding({ lines: [{ id: 1, quantity: 2 }] }))
      .refuses({ code: 'line_exceeded', status: 'paid', version: 3, lineId: 1, remaining: 1 });
    given(twoLines, paidTwoLines)
      .when(refunding({ lines: [{ id: 3, quantity: 1 }] }))
      .refuses({ code: 'line_unknown', status: 'paid', version: 2, lineId: 3 });
  });

  it('by lines is bounded by what was paid and not yet asked back as an amount', () => {
    const lines = [{ id: 2, quantity: 1 }];
    given(twoLines, paidTwoLines, refundDue(300))
      .when(refunding({ lines }))
      .refuses({ code: 'refund_exceeded', status: 'paid', version: 3, remaining: 950 });
  });

  it('that was declined frees its amount and its lines', () => {
    const lines = [{ id: 1, quantity: 3 }];
    const history = [twoLines, paidTwoLines, refundDue(288, 1, lines), refundDeclined(288)];
    given(...history)
      .when(refunding({ lines }))
      .then(refundDue(288, 2, lines));
    given(...history)
      .when(refunding())
      .then(refundDue(1250, 2));
  });

  it('of a cancelled order is what was declined, and no more', () => {
    const history = [placed, paid, cancelled, refundDue(2990), refundDeclined(2990)];
    given(...history)
      .when(refunding({ amount: 1000 }))
      .then(refundDue(1000, 2));
    given(...history, refundDue(2990, 2))
      .when(refunding())
      .refuses({ code: 'order_closed', status: 'cancelled', version: 6 });
  });

  it('of lines that cost nothing is refused', () => {
    const free = {
      ...twoLines,
      data: {
        ...twoLines.data,
        lines: [{ id: 1, sku: 'A', quantity: 1, unitPrice: 0 }, ...twoLines.data.lines.slice(1)],
      },
    };
    given(free, paidTwoLines)
      .when(refunding({ lines: [{ id: 1, quantity: 1 }] }))
      .refuses({ code: 'nothing_to_refund', status: 'paid', version: 2 });
  });

  it('of lines whose prices add up past 2^53 is exact', () => {
    const dear = {
      ...twoLines,
      data: {
        ...twoLines.data,
        lines: [{ id: 1, sku: 'A', quantity: 1_000_000, unitPrice: Number.MAX_SAFE_INTEGER }],
        total: 1250,
      },
    };
    given(dear, paidTwoLines)
      .when(refunding({ lines: [{ id: 1, quantity: 1_000_000 }] }))
      .then(refundDue(1250, 1, [{ id: 1, quantity: 1_000_000 }]));
  });
});

describe('closing a refund', () => {
  it('keeps its amount and its lines asked back', () => {
    const lines = [{ id: 1, quantity: 2 }];
    const history = [placed, paid, refundDue(2990, 1, lines), refundDeclined(2990), refundClosed(2990)];
    given(...history)
      .when(refunding({ amount: 1 }))
      .refuses({ code: 'nothing_to_refund', status: 'paid', version: 5 });
  });

  it('is refused when its amount or its lines have been asked for again', () => {
    given(placed, paid, refundDue(2000), refundDeclined(2000), refundDue(1500, 2))
      .when(closing(1))
      .refuses({ code: 'refund_exceeded', status: 'paid', version: 5, remaining: 1490 });
    const lines = [{ id: 1, quantity: 1 }];
    given(placed, paid, refundDue(1, 1, [{ id: 1, quantity: 2 }]), refundDeclined(1), refundDue(1, 2, lines))
      .when(closing(1))
      .refuses({ code: 'line_exceeded', status: 'paid', version: 5, lineId: 1, remaining: 1 });
  });

  it('may come before the provider has decided; what it decides is recorded all the same', () => {
    given(placed, paid, refundDue(2990)).when(closing()).then(refundClosed(2990));
    given(placed, paid, refundDue(2990), refundClosed(2990)).when(recordingRefund()).then(refunded(2990));
    given(placed, paid, refundDue(2990), refundClosed(2990)).when(recordingRefundDecline()).changesNothing();
  });

  it.each([
    ['was made', [refundDue(2990), refunded(2990)]],
    ['was closed', [refundDue(2990), refundClosed(2990)]],
  ])('that %s is refused', (_what, history) => {
    given(placed, paid, ...history)
      .when(closing())
      .refuses({ code: 'refund_settled', status: 'paid', version: 4, refundId: 1 });
  });
});

describe('an order that has as many events as it may have', () => {
  const full = { ...ORDER_LIMITS, eventsMax: 3 };
  const history = [placed, paid, refundDue(1000)];

  it('takes no more shipments and refunds', () => {
    for (const command of [shipping([{ id: 1, quantity: 1 }]), refunding({ amount: 1 })])
      given(...history)
        .when(command, full)
        .refuses({ code: 'too_many_events', status: 'paid', version: 3, eventsMax: 3 });
    given(placed, paid)
      .when(refunding({ amount: 1000 }), full)
      .then(refundDue(1000));
  });

  it('takes the last shipment and the refund of all that remains, so that it is not stuck with goods or money', () => {
    given(...history)
      .when(shipping(), full)
      .then(shipped);
    given(...history)
      .when(refunding(), full)
      .then(refundDue(1990, 2));
    // Declined over and over, it has an end all the same.
    const declines = [refundDue(1990, 2), refundDeclined(1990, 2), refundDeclined(1990, 2)];
    given(...history, ...declines)
      .when(refunding(), full)
      .refuses({ code: 'too_many_events', status: 'paid', version: 6, eventsMax: 3 });
  });

  it('takes what is reported, and what comes once', () => {
    given(...history)
      .when(recordingRefund({ amount: 1000 }), full)
      .then(refunded(1000));
    given(...history)
      .when(recordingRefundDecline({ amount: 1000 }), full)
      .then(refundDeclined(1000));
    given(...history)
      .when(closing(), full)
      .then(refundClosed(1000));
    given(...history)
      .when(cancelling(), full)
      .then(cancelled, refundDue(1990, 2));
    given(placed, paid, shipped).when(delivering(), full).then(delivered);
  });
});

describe('what payments reports', () => {
  it('a payment that comes after the cancellation is recorded and asked back at once, once', () => {
    given(placed, cancelled).when(recordingPayment()).then(paid, refundDue(2990));
    given(placed, cancelled, paid, refundDue(2990)).when(recordingPayment()).changesNothing();
  });

  it('a payment of nothing has nothing to ask back', () => {
    const free = { ...twoLines, data: { ...twoLines.data, total: 0 } };
    const nothing = { paymentId: 'p-1', amount: 0, currency: 'EUR' };
    given(free, cancelled).when(recordingPayment(nothing)).then({ type: 'order.payment-recorded.v1', data: nothing });
  });

  it.each([
    ['less', { amount: 2989 }],
    ['more', { amount: 2991 }],
    ['another currency', { currency: 'USD' }],
  ])('a payment of %s is not the one of the order', (_what, changes) => {
    given(placed)
      .when(recordingPayment(changes))
      .refuses({ code: 'payment_mismatch', status: 'placed', version: 1, total: 2990, currency: 'EUR' });
  });

  it('a second payment is refused, so that whoever took it gives it back', () => {
    for (const history of [
      [placed, paid],
      [placed, paid, cancelled, refundDue(2990)],
    ])
      given(...history)
        .when(recordingPayment({ paymentId: 'p-2' }))
        .refuses({
          code: 'already_paid',
          status: given(...history).order?.status,
          version: history.length,
          paymentId: 'p-1',
        });
  });

  it('a decline after the payment changes nothing', () => {
    given(placed, paid).when(recordingDecline()).changesNothing();
  });

  it('a refund that was declined is recorded when it was made after all, unless its amount has been asked for again', () => {
    const history = [placed, paid, refundDue(2990), refundDeclined(2990)];
    given(...history)
      .when(recordingRefund())
      .then(refunded(2990));
    given(...history, refundDue(2990, 2))
      .when(recordingRefund())
      .refuses({ code: 'refund_exceeded', status: 'paid', version: 5, remaining: 0 });
  });

  it('a decline of a refund counts once, and not after the refund was made', () => {
    given(placed, paid, refundDue(2990)).when(recordingRefundDecline()).then(refundDeclined(2990));
    for (const after of [refundDeclined(2990), refunded(2990), refundClosed(2990)])
      given(placed, paid, refundDue(2990), after).when(recordingRefundDecline()).changesNothing();
  });

  it.each([
    ['another id', { refundId: 2 }],
    ['another amount', { amount: 999 }],
    ['another currency', { currency: 'USD' }],
  ])('a refund of %s was not asked for', (_what, changes) => {
    const { refundId = 1 } = changes as { refundId?: number };
    given(placed, paid, refundDue(1000))
      .when(recordingRefund({ amount: 1000, ...changes }))
      .refuses({ code: 'refund_unknown', status: 'paid', version: 3, refundId });
    given(placed, paid, refundDue(1000))
      .when(recordingRefundDecline({ amount: 1000, ...changes }))
      .refuses({ code: 'refund_unknown', status: 'paid', version: 3, refundId });
  });
});
