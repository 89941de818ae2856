import { describe, expect, it } from '@jest/globals';
import { OrderState } from '@tandem/contracts/order';
import { PlaceOrder } from '@tandem/contracts/order-commands';
import { OrderEvent } from '@tandem/contracts/order-events';
import { Rejection } from '@tandem/contracts/rejections';
import { amountOf, lineAmounts } from '@tandem/contracts/line-amounts';
import { totalOf } from '@tandem/contracts/money';
import fc from 'fast-check';
import { decide, ORDER_LIMITS, type OrderCommand } from './decide.ts';
import { evolve, fold } from './order.ts';
import {
  AT,
  ORDER_ID,
  cancelled,
  declined,
  delivered,
  given,
  paid,
  placed,
  recorded,
  recordingPayment,
  recordingRefundDecline,
  refundClosed,
  refundDeclined,
  refundDue,
  refunded,
  refunding,
  shipped,
  shippedInPart,
} from './rulebook.testing.ts';

describe('an order', () => {
  it('goes from placed over paid and shipped to delivered', () => {
    expect(given(placed).order?.status).toBe('placed');
    expect(given(placed, paid).order?.status).toBe('paid');
    expect(given(placed, paid, shippedInPart).order?.status).toBe('paid');
    expect(given(placed, paid, shipped).order?.status).toBe('shipped');
    expect(given(placed, paid, shipped, delivered).order?.status).toBe('delivered');
  });

  it('that is cancelled after its payment keeps what was paid and what is refunded', () => {
    const { order } = given(placed, paid, cancelled, refundDue(2990), refunded(2990));
    expect(order).toMatchObject({ status: 'cancelled', paid: { amount: 2990 } });
    expect(order).toMatchObject({ refunds: [{ id: 1, amount: 2990, recordedAt: expect.any(String) }] });
  });

  it('that was cancelled stays cancelled when its payment comes late', () => {
    expect(given(placed, cancelled, paid).order).toMatchObject({ status: 'cancelled', paid: { paymentId: 'p-1' } });
  });

  it('says how much of what was paid has been given back, not how much was asked for', () => {
    const history = [placed, paid, refundDue(1000)];
    expect(given(placed).order?.refundStatus).toBe('none');
    expect(given(...history).order?.refundStatus).toBe('none');
    expect(given(...history, refundDeclined(1000)).order?.refundStatus).toBe('none');
    expect(given(...history, refundClosed(1000)).order?.refundStatus).toBe('none');
    expect(given(...history, refunded(1000)).order?.refundStatus).toBe('partial');
    const whole = [...history, refunded(1000), refundDue(1990, 2), refunded(1990, 2)];
    expect(given(...whole).order).toMatchObject({ status: 'paid', refundStatus: 'full' });
    expect(given(...whole, shippedInPart, delivered).order?.refundStatus).toBe('full');
  });

  it('keeps why a refund was declined, and why it was closed', () => {
    const { order } = given(placed, paid, refundDue(2990), refundDeclined(2990), refundClosed(2990));
    expect(order).toMatchObject({
      refunds: [{ id: 1, declined: { reason: 'card expired', at: AT }, closed: { reason: 'bank transfer', at: AT } }],
    });
  });

  it('is the same folded as a whole and event by event, which changes no earlier order', () => {
    const any = fc.constantFrom(paid, shippedInPart, cancelled, refundDue(10), refunded(10), refundDeclined(10));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (events) => {
        const history = recorded([placed, ...events]);
        let order: OrderState | undefined;
        for (const [index, event] of history.entries()) {
          const before = structuredClone(order);
          const next = evolve(order, event);
          expect(order).toStrictEqual(before);
          expect(next).toStrictEqual(fold(history.slice(0, index + 1)));
          order = next;
        }
      }),
    );
  });

  it('counts every event as a version, whatever the events are, and is always a valid state', () => {
    const any = fc.constantFrom(
      placed,
      paid,
      declined,
      shippedInPart,
      shipped,
      delivered,
      cancelled,
      refundDue(10),
      refundDue(10, 2, [{ id: 1, quantity: 1 }]),
      refunded(10),
      refundDeclined(10),
      refundClosed(10, 2),
    );
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (events) => {
        const order = fold(recorded([placed, ...events]));
        expect(order?.version).toBe(events.length + 1);
        expect(OrderState.safeParse(order).error).toBeUndefined();
      }),
    );
  });

  it('is folded in time that grows with its history: one that copies its shipments for each takes a minute here', () => {
    const history = recorded([placed, paid, ...Array.from({ length: 50_000 }, () => shippedInPart)]);
    expect(fold(history)).toMatchObject({ version: 50_002, status: 'paid' });
  });

  it('reads back from JSON as it was', () => {
    const lines = [{ id: 1, quantity: 1 }];
    const any = fc.constantFrom(paid, shipped, delivered, cancelled, refundDue(10), refundDue(10, 2, lines));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 8 }), (events) => {
        const order = fold(recorded([placed, ...events]));
        expect(JSON.parse(JSON.stringify(order))).toStrictEqual(order);
      }),
    );
  });
});

const anyBody = fc.record(
  {
    customerId: fc.stringMatching(/^[a-z0-9-]{1,20}$/),
    currency: fc.constantFrom('EUR', 'JPY', 'KWD'),
    lines: fc.array(
      fc.record({
        sku: fc.stringMatching(/^[A-Z0-9-]{1,10}$/),
        quantity: fc.integer({ min: 1, max: 1_000_000 }),
        unitPrice: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      }),
      { minLength: 1, maxLength: 100 },
    ),
    adjustments: fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('discount'), amount: fc.integer({ min: -1_000_000, max: 0 }) }),
        fc.record({ kind: fc.constantFrom('tax', 'shipping'), amount: fc.maxSafeNat() }),
      ),
      { maxLength: 20 },
    ),
    reference: fc.stringMatching(/^[a-z]{1,10}$/),
  },
  { requiredKeys: ['customerId', 'currency', 'lines'] },
);

describe('any order that the contract lets in', () => {
  it('is placed with a total that is the exact sum of its lines and adjustments', () => {
    fc.assert(
      fc.property(anyBody, (input) => {
        const parsed = PlaceOrder.safeParse(input);
        const total = totalOf({ lines: input.lines, adjustments: input.adjustments ?? [] });
        expect(parsed.success).toBe(total >= 0n && total <= BigInt(Number.MAX_SAFE_INTEGER));
        if (!parsed.success) return;
        const limits = { ...ORDER_LIMITS, totalMax: Number.MAX_SAFE_INTEGER };
        const decision = decide({ type: 'PlaceOrder', orderId: ORDER_ID, body: parsed.data }, undefined, limits);
        const order = 'events' in decision ? fold(recorded(decision.events)) : undefined;
        expect(BigInt(order?.total ?? -1)).toBe(total);
      }),
    );
  });

  const somePricedLines = fc.array(
    fc.record({
      sku: fc.constant('A-1'),
      quantity: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 1_000_000 })),
      unitPrice: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 1_000_000 })),
    }),
    { minLength: 1, maxLength: 100 },
  );

  it('splits its total among its lines and their pieces, to the last unit', () => {
    fc.assert(
      fc.property(somePricedLines, fc.integer({ min: -5_000, max: 5_000 }), (lines, amount) => {
        const adjustments = [{ amount: Math.max(amount, -Number(totalOf({ lines, adjustments: [] }))) }];
        const total = totalOf({ lines, adjustments });
        const order = { lines: lines.map((line, index) => ({ id: index + 1, ...line })), total: Number(total) };
        const amounts = lineAmounts(order);
        expect([...amounts.values()].reduce((sum, amount) => sum + amount, 0n)).toBe(total);
        const prices = totalOf({ lines, adjustments: [] });
        for (const { id, quantity, unitPrice } of order.lines) {
          const amount = amounts.get(id) as bigint;
          // No line is further from its exact share than one unit.
          const exact = total * BigInt(quantity) * BigInt(unitPrice);
          if (prices > 0n) expect(amount * prices - exact < prices && exact - amount * prices < prices).toBe(true);
          const some = Math.ceil(quantity / 3);
          expect(amountOf([{ id, quantity }], order)).toBe(amount);
          expect(amountOf([{ id, quantity: some }], order)).toBeLessThanOrEqual(amount);
        }
        expect(lineAmounts(order)).toEqual(amounts);
      }),
    );
  });

  it('comes back whole by its lines, in whatever parts, orders and declines', () => {
    const pieces = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), fc.boolean()));
    const discount = fc.integer({ min: -1_000, max: 1_000 });
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 3, maxLength: 3 }),
        discount,
        pieces,
        (prices, amount, parts) => {
          const lines = prices.map((unitPrice, index) => ({ sku: 'A', quantity: 4, unitPrice: unitPrice + 1 + index }));
          const body = PlaceOrder.safeParse({
            customerId: 'c-42',
            currency: 'EUR',
            lines,
            adjustments: [{ kind: amount < 0 ? 'discount' : 'tax', amount }],
          });
          if (!body.success || totalOf(body.data) === 0n) return;
          let order: OrderState | undefined;
          const take = (command: OrderCommand) => {
            const decision = decide(command, order);
            for (const event of 'events' in decision ? decision.events : [])
              order = evolve(order, { ...event, orderId: ORDER_ID, version: (order?.version ?? 0) + 1, at: AT });
            return decision;
          };
          take({ type: 'PlaceOrder', orderId: ORDER_ID, body: body.data });
          const total = order?.total as number;
          take(recordingPayment({ amount: total }));
          const refundAll = parts.map(([id, quantity, declined]) => ({ lines: [{ id, quantity }], declined }));
          for (const id of [1, 2, 3])
            for (let piece = 0; piece < 4; piece += 1)
              refundAll.push({ lines: [{ id, quantity: 1 }], declined: false });
          for (const { lines: asked, declined } of refundAll) {
            const decision = take(refunding({ lines: asked }));
            const [event] = 'events' in decision ? decision.events : [];
            if (event?.type === 'order.refund-requested.v1' && declined) {
              const { refundId, amount: refused } = event.data;
              take(recordingRefundDecline({ refundId, amount: refused }));
            }
          }
          const refunds = order !== undefined && 'refunds' in order ? order.refunds : [];
          const taken = refunds.filter((refund) => refund.declined === undefined);
          expect(taken.reduce((sum, refund) => sum + refund.amount, 0)).toBe(total);
        },
      ),
    );
  });

  it('keeps its money through whatever is asked and reported: 0 ≤ refunded ≤ paid ≤ total, and nothing is thrown', () => {
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 25 }), (commands) => {
        let order = fold(recorded([placedTwoLines]));
        const events: OrderEvent[] = [];
        for (const command of commands) {
          const decision = decide(command, order);
          if ('rejection' in decision) {
            expect(Rejection.parse(decision.rejection)).toEqual(decision.rejection);
            continue;
          }
          for (const event of decision.events) {
            expect(OrderEvent.parse(event)).toEqual(event);
            events.push(event);
            order = evolve(order, { ...event, orderId: ORDER_ID, version: (order?.version ?? 0) + 1, at: AT });
          }
          expect(OrderState.parse(order)).toEqual(order);
        }
        const sum = (type: OrderEvent['type']) =>
          events.reduce(
            (all, event) => (event.type === type && 'amount' in event.data ? all + event.data.amount : all),
            0,
          );
        const [paidIn, given] = [sum('order.payment-recorded.v1'), sum('order.refund-recorded.v1')];
        const refunds = order !== undefined && 'refunds' in order ? order.refunds : [];
        const declined = refunds.filter((each) => each.declined && !each.closed && each.recordedAt === undefined);
        const amountOf = (list: typeof refunds) => list.reduce((all, { amount }) => all + amount, 0);
        const asked = amountOf(refunds) - amountOf(declined);
        expect(given).toBeLessThanOrEqual(asked);
        expect(asked).toBeLessThanOrEqual(paidIn);
        expect([0, 1250]).toContain(paidIn);
        expect(order?.refundStatus).toBe(given === 0 ? 'none' : given < paidIn ? 'partial' : 'full');
        // What was taken for an order that is cancelled is asked back whole, and what was declined may be asked for again.
        if (order?.status === 'cancelled') {
          if (declined.length === 0) expect(asked).toBe(paidIn);
          const again = decide(refunding(), order);
          if (asked < paidIn) expect(again).toMatchObject({ events: [{ data: { amount: paidIn - asked } }] });
        }
        for (const { id, quantity } of placedTwoLines.data.lines) {
          const ofLine = (type: OrderEvent['type']) =>
            events
              .filter((event) => event.type === type)
              .flatMap((event) => ('lines' in event.data ? (event.data.lines ?? []) : []))
              .reduce((all, line) => (line.id === id ? all + line.quantity : all), 0);
          const refunded = refunds
            .filter((refund) => !declined.includes(refund))
            .flatMap(({ lines = [] }) => lines)
            .reduce((all, line) => (line.id === id ? all + line.quantity : all), 0);
          expect(refunded).toBeLessThanOrEqual(quantity);
          const shipped = ofLine('order.shipped.v1');
          expect(shipped).toBeLessThanOrEqual(quantity);
          // Whatever was not refunded was shipped.
          const isOver = order?.status === 'shipped' || order?.status === 'delivered';
          if (isOver && refunds.length === 0) expect(shipped).toBe(quantity);
        }
      }),
      { numRuns: 500 },
    );
  });
});

const placedTwoLines = {
  type: 'order.placed.v1',
  data: {
    customerId: 'c-42',
    currency: 'EUR',
    lines: [
      { id: 1, sku: 'A-1', quantity: 3, unitPrice: 100 },
      { id: 2, sku: 'B-2', quantity: 1, unitPrice: 1000 },
    ],
    adjustments: [{ kind: 'discount', amount: -50 }],
    total: 1250,
    delivery: 'standard',
    payment: { method: 'card' },
  },
} satisfies OrderEvent;

const anyLines = fc.uniqueArray(
  fc.record({ id: fc.integer({ min: 1, max: 3 }), quantity: fc.integer({ min: 1, max: 3 }) }),
  {
    selector: ({ id }) => id,
    minLength: 1,
  },
);
const anyVersion = fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined, freq: 5 });
const currency = fc.constantFrom('EUR', 'EUR', 'EUR', 'USD');
const anyAmount = fc.oneof(fc.constantFrom(1250, 100, 1000), fc.integer({ min: 1, max: 1300 }));
const addressed = <T extends OrderCommand['type'], B>(type: T, body: fc.Arbitrary<B>) =>
  body.map((value) => ({ type, orderId: ORDER_ID, body: value }));
const conditional = <T extends OrderCommand['type'], B>(type: T, body: fc.Arbitrary<B>) =>
  fc.tuple(addressed(type, body), anyVersion).map(([command, ifVersion]) => ({ ...command, ifVersion }));
/** Everything that may come to an order after its placing, in bodies that its contract lets in. */
const anyCommand: fc.Arbitrary<OrderCommand> = fc.oneof(
  conditional('CancelOrder', fc.constant({})),
  conditional('ShipOrder', fc.constant({ carrier: 'post', trackingCode: 'RR1' })),
  conditional(
    'ShipOrder',
    anyLines.map((lines) => ({ carrier: 'post', trackingCode: 'RR1', lines })),
  ),
  conditional('ConfirmDelivery', fc.constant({})),
  conditional('RefundOrder', fc.constant({})),
  conditional(
    'RefundOrder',
    anyAmount.map((amount) => ({ amount })),
  ),
  conditional(
    'RefundOrder',
    anyLines.map((lines) => ({ lines })),
  ),
  addressed(
    'RecordPayment',
    fc.record({ paymentId: fc.constantFrom('p-1', 'p-1', 'p-2'), amount: fc.constantFrom(1250, 1250, 1249), currency }),
  ),
  addressed('RecordDecline', fc.constant({ reason: 'no funds' })),
  addressed(
    'RecordRefundDecline',
    fc.record({
      refundId: fc.integer({ min: 1, max: 3 }),
      amount: anyAmount,
      currency,
      reason: fc.constant('expired'),
    }),
  ),
  fc
    .tuple(conditional('CloseRefund', fc.constant({ reason: 'by hand' })), fc.integer({ min: 1, max: 3 }))
    .map(([command, refundId]) => ({ ...command, refundId })),
  addressed('RecordRefund', fc.record({ refundId: fc.integer({ min: 1, max: 3 }), amount: anyAmount, currency })),
  fc.constant({ type: 'ExpireOrder' as const, orderId: ORDER_ID }),
);
