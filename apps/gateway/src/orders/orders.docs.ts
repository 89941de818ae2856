import { Order } from '@tandem/contracts/order';
import { documented, EXAMPLE_ORDER_ID, problemExample } from '../docs.ts';
import { invalidRequest, refused } from '../problem.ts';
import { EventPage, OrderPage } from './order-pages.ts';

const UNKNOWN_ID = '00000000-0000-7000-8000-000000000000';
const PLACED_AT = '2026-01-01T00:00:00.000Z';

const smallest = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };
const everything = {
  ...smallest,
  adjustments: [{ kind: 'shipping', amount: 490 }],
  expectedTotal: 2990,
  delivery: 'express',
  payment: { method: 'invoice' },
  reference: 'cart-77',
  metadata: { channel: 'app' },
};

const placedSmallest = {
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
  placedAt: PLACED_AT,
  position: 1234,
};
const placedEverything = {
  ...placedSmallest,
  adjustments: [{ kind: 'shipping', amount: 490 }],
  total: 2990,
  delivery: 'express',
  payment: { method: 'invoice' },
  reference: 'cart-77',
  metadata: { channel: 'app' },
};
const cancelled = {
  ...placedSmallest,
  version: 2,
  status: 'cancelled',
  cancellation: { cause: 'customer', reason: 'Ordered twice', at: '2026-01-01T00:05:00.000Z' },
  refunds: [],
  position: 1240,
};
const events = [
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

const place = { operationId: 'placeOrder', body: smallest };
const cancel = { operationId: 'cancelOrder', body: { reason: 'Ordered twice' } };

const tag = 'orders';
const keyHeader = {
  'Idempotency-Key': {
    description:
      'Makes repeating safe: the same request with the same key is carried out once and answered as the first was. ' +
      '1 to 255 visible ASCII characters, quoted or not; one is made, and answered, when it is left out.',
    example: 'cart-77-checkout',
  },
};
const commandHeaders = {
  'Idempotency-Key': 'The key of the request, also one that was made here',
  ETag: 'The version of the order, for If-Match',
};
const malformedId = {
  malformedId: problemExample(
    'An id that is none',
    { id: '42' },
    invalidRequest([{ parameter: 'id', detail: 'must be a UUID' }]),
  ),
};
const unknownId = {
  unknownOrder: problemExample(
    'An id of no order',
    { id: UNKNOWN_ID },
    refused({ code: 'order_not_found', orderId: UNKNOWN_ID }),
  ),
};
const foreignCursor = {
  foreignCursor: problemExample(
    'A cursor that was given for another list',
    { before: [place], query: { cursor: 'bm90LWEtY3Vyc29y' } },
    invalidRequest([
      { parameter: 'cursor', detail: 'is not a cursor of this list; a cursor goes with the filters it was given for' },
    ]),
  ),
};

export const DocumentPlaceOrder = () =>
  documented({
    id: 'placeOrder',
    tag,
    summary: 'Place an order',
    description:
      'Answered when the order is committed. Amounts are integers in minor units (cents, for EUR). Adjustments come from ' +
      'the caller; a discount is negative. A repeat with the same key has the header Idempotency-Replayed.',
    headers: keyHeader,
    body: {
      smallest: { summary: 'What an order needs', value: smallest },
      everything: { summary: 'All that an order may say', value: everything },
    },
    success: {
      status: 201,
      description: 'The order',
      schema: Order,
      headers: { Location: 'The path of the order', ...commandHeaders },
      examples: {
        smallest: { summary: 'What an order needs', request: { body: smallest }, value: placedSmallest },
        everything: { summary: 'All that an order may say', request: { body: everything }, value: placedEverything },
      },
    },
    problems: {
      invalid_request: {
        unknownField: problemExample(
          'A field that orders do not have, and a quantity of none',
          { body: { ...smallest, colour: 'red', lines: [{ sku: 'A-1', quantity: 0, unitPrice: 1250 }] } },
          invalidRequest([
            { pointer: '/lines/0/quantity', detail: 'must be at least 1' },
            { pointer: '/colour', detail: 'is not a field of this request' },
          ]),
        ),
        malformedKey: problemExample(
          'An idempotency key with a space',
          { body: smallest, headers: { 'Idempotency-Key': 'cart 77' } },
          invalidRequest([
            { header: 'Idempotency-Key', detail: 'takes one key of 1 to 255 visible ASCII characters, quoted or not' },
          ]),
        ),
      },
      total_mismatch: {
        wrongTotal: problemExample(
          'Lines and adjustments add up to something else',
          { body: { ...smallest, expectedTotal: 2400 } },
          refused({ code: 'total_mismatch', total: 2500 }),
        ),
      },
      reference_taken: {
        takenReference: problemExample(
          'The customer has an order of this reference',
          {
            before: [{ operationId: 'placeOrder', body: { ...smallest, reference: 'cart-78' } }],
            body: { ...smallest, reference: 'cart-78' },
          },
          refused({ code: 'reference_taken', orderId: EXAMPLE_ORDER_ID }),
        ),
      },
      key_reused: {
        reusedKey: problemExample(
          'The key of another request',
          {
            before: [{ ...place, headers: { 'Idempotency-Key': 'cart-79' } }],
            headers: { 'Idempotency-Key': 'cart-79' },
            body: { ...smallest, delivery: 'express' },
          },
          refused({ code: 'key_reused' }),
        ),
      },
      unstorable: {},
      outcome_unknown: {},
    },
  });

export const DocumentGetOrder = () =>
  documented({
    id: 'getOrder',
    tag,
    summary: 'Read an order',
    headers: { 'If-None-Match': { description: 'An ETag; 304 if the order is still the same', example: '"1"' } },
    pathExample: EXAMPLE_ORDER_ID,
    success: {
      status: 200,
      description: 'The order',
      schema: Order,
      headers: { ETag: 'The version of the order, for If-Match and If-None-Match' },
      examples: {
        placed: { summary: 'An order that was placed', request: { before: [place] }, value: placedSmallest },
        cancelled: { summary: 'One that was cancelled', request: { before: [place, cancel] }, value: cancelled },
      },
    },
    empty: { 304: 'The order is as the ETag of If-None-Match says' },
    problems: { invalid_request: malformedId, order_not_found: unknownId, no_answer: {} },
  });

export const DocumentListOrders = () =>
  documented({
    id: 'listOrders',
    tag,
    summary: 'List orders, newest first',
    success: {
      status: 200,
      description: 'A page of orders',
      schema: OrderPage,
      examples: {
        ofCustomer: {
          summary: 'The orders of a customer',
          request: { before: [{ ...place, body: { ...smallest, customerId: 'c-43' } }], query: { customer: 'c-43' } },
          value: { data: [{ ...placedSmallest, customerId: 'c-43' }], nextCursor: null },
        },
        none: {
          summary: 'No such orders',
          request: { query: { customer: 'c-44', status: 'delivered' } },
          value: { data: [], nextCursor: null },
        },
      },
    },
    problems: {
      invalid_request: {
        ...foreignCursor,
        tooMany: problemExample(
          'A page that is too large',
          { query: { limit: '101' } },
          invalidRequest([{ parameter: 'limit', detail: 'must be at most 100' }]),
        ),
      },
      no_answer: {},
    },
  });

export const DocumentListEvents = () =>
  documented({
    id: 'listOrderEvents',
    tag,
    summary: "Read an order's history, oldest first",
    pathExample: EXAMPLE_ORDER_ID,
    success: {
      status: 200,
      description: 'A page of events',
      schema: EventPage,
      examples: {
        placed: {
          summary: 'An order that was placed',
          request: { before: [place] },
          value: { data: events, nextCursor: null },
        },
      },
    },
    problems: { invalid_request: { ...malformedId, ...foreignCursor }, order_not_found: unknownId, no_answer: {} },
  });

export const DocumentCancelOrder = () =>
  documented({
    id: 'cancelOrder',
    tag,
    summary: 'Cancel an order',
    description: 'From placed or paid; what was paid is refunded. An empty body counts as {}.',
    headers: {
      ...keyHeader,
      'If-Match': { description: 'The ETag that the order must have, or *', example: '"1"' },
    },
    bodyRequired: false,
    body: {
      withReason: { summary: 'Saying why', value: cancel.body },
      plain: { summary: 'Saying nothing', value: {} },
    },
    pathExample: EXAMPLE_ORDER_ID,
    success: {
      status: 200,
      description: 'The order, cancelled',
      schema: Order,
      headers: commandHeaders,
      examples: {
        withReason: {
          summary: 'The version that was read',
          request: { before: [place], headers: { 'If-Match': '"1"' }, body: cancel.body },
          value: cancelled,
        },
      },
    },
    problems: {
      invalid_request: {
        ...malformedId,
        malformedIfMatch: problemExample(
          'An If-Match that is no ETag of an order',
          { before: [place], headers: { 'If-Match': 'latest' } },
          invalidRequest([{ header: 'If-Match', detail: 'takes * or one ETag of the order, such as "3"' }]),
        ),
      },
      order_not_found: unknownId,
      order_closed: {
        closed: problemExample(
          'An order that is cancelled already',
          { before: [place, cancel], body: {} },
          refused({ code: 'order_closed', status: 'cancelled', version: 2 }, EXAMPLE_ORDER_ID),
        ),
      },
      version_mismatch: {
        moved: problemExample(
          'An order that has changed since it was read',
          { before: [place], headers: { 'If-Match': '"7"' }, body: {} },
          refused({ code: 'version_mismatch', status: 'placed', version: 1 }, EXAMPLE_ORDER_ID),
        ),
      },
      key_reused: {
        reusedKey: problemExample(
          'The key of another request',
          {
            before: [place, { ...cancel, headers: { 'Idempotency-Key': 'cancel-79' } }],
            headers: { 'Idempotency-Key': 'cancel-79' },
            body: { reason: 'Ordered by mistake' },
          },
          refused({ code: 'key_reused' }),
        ),
      },
      unstorable: {},
      outcome_unknown: {},
    },
  });
