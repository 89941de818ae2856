import { EXAMPLE_ORDER_ID, problemExample } from '../docs.ts';
import { invalidRequest, refused } from '../problem.ts';

// What several operations have in their examples.

const UNKNOWN_ID = '00000000-0000-7000-8000-000000000000';
const PLACED_AT = '2026-01-01T00:00:00.000Z';

export const smallest = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };
export const everything = {
  ...smallest,
  adjustments: [{ kind: 'shipping', amount: 490 }],
  expectedTotal: 2990,
  delivery: 'express',
  payment: { method: 'invoice' },
  reference: 'cart-77',
  metadata: { channel: 'app' },
};

export const placedSmallest = {
  id: EXAMPLE_ORDER_ID,
  version: 1,
  status: 'placed',
  customerId: 'c-42',
  currency: 'EUR',
  lines: [{ id: 1, sku: 'A-1', quantity: 2, unitPrice: 1250 }],
  adjustments: [],
  total: 2500,
  delivery: 'standard',
  payment: { method: 'card' },
  refundStatus: 'none',
  placedAt: PLACED_AT,
  position: 1234,
};
export const placedEverything = {
  ...placedSmallest,
  adjustments: [{ kind: 'shipping', amount: 490 }],
  total: 2990,
  delivery: 'express',
  payment: { method: 'invoice' },
  reference: 'cart-77',
  metadata: { channel: 'app' },
};
export const cancelled = {
  ...placedSmallest,
  version: 2,
  status: 'cancelled',
  cancellation: { cause: 'customer', reason: 'Ordered twice', at: '2026-01-01T00:05:00.000Z' },
  refunds: [],
  position: 1240,
};
export const paid = {
  ...placedSmallest,
  version: 2,
  status: 'paid',
  paid: { amount: 2500, paymentId: 'pay_1', at: '2026-01-01T00:00:10.000Z' },
  shipments: [],
  refunds: [],
  position: 1236,
};
export const placedEvents = [
  {
    position: 1234,
    orderId: EXAMPLE_ORDER_ID,
    version: 1,
    type: 'order.placed.v1',
    time: PLACED_AT,
    data: {
      customerId: 'c-42',
      currency: 'EUR',
      lines: [{ id: 1, sku: 'A-1', quantity: 2, unitPrice: 1250 }],
      adjustments: [],
      total: 2500,
      delivery: 'standard',
      payment: { method: 'card' },
    },
  },
];

export const place = { operationId: 'placeOrder', body: smallest };
/** Placed, and paid by the time that the next is sent. */
export const placeAndPay = { ...place, until: 'paid' as const };
export const cancel = { operationId: 'cancelOrder', body: { reason: 'Ordered twice' } };

export const tag = 'orders';
export const keyHeader = {
  'Idempotency-Key': {
    description:
      'Makes retries safe: requests with the same key and the same body are carried out once, and all get the first answer. ' +
      '1 to 255 visible ASCII characters, quoted or not. If it is left out, the gateway generates one and returns it.',
    example: 'cart-77-checkout',
  },
};
export const commandHeaders = {
  'Idempotency-Key': 'The key of the request, or the generated one',
  ETag: 'The version of the order, for If-Match',
};
export const malformedId = {
  malformedId: problemExample(
    'Malformed id',
    { id: '42' },
    invalidRequest([{ parameter: 'id', detail: 'must be a UUID' }]),
  ),
};
export const unknownId = {
  unknownOrder: problemExample(
    'Unknown order',
    { id: UNKNOWN_ID },
    refused({ code: 'order_not_found', orderId: UNKNOWN_ID }),
  ),
};
export const foreignCursor = {
  foreignCursor: problemExample(
    'Cursor of another list',
    { before: [place], query: { cursor: 'bm90LWEtY3Vyc29y' } },
    invalidRequest([
      { parameter: 'cursor', detail: 'is not a cursor of this list; a cursor goes with the filters it was given for' },
    ]),
  ),
};
