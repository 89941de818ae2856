import { describe, it } from '@jest/globals';
import {
  ORDER_ID,
  cancelled,
  cancelling,
  delivered,
  given,
  paid,
  placed,
  placing,
  refundDue,
  shipped,
  shippedInPart,
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

  it('may cost nothing when a discount takes away everything', () => {
    const free = placing({ adjustments: [{ kind: 'discount', amount: -2500 }] });
    const { decision } = given().when(free);
    expect(decision).toMatchObject({ events: [{ data: { total: 0 } }] });
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
    ['shipped in part', [placed, paid, shippedInPart], 'paid'],
    ['shipped', [placed, paid, shipped], 'shipped'],
    ['delivered', [placed, paid, shipped, delivered], 'delivered'],
    ['cancelled', [placed, cancelled], 'cancelled'],
  ] as const)('that was %s is refused with the state it met', (_state, history, status) => {
    given(...history)
      .when(cancelling())
      .refuses({ code: 'order_closed', status, version: history.length });
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
