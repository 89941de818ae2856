import { Order } from '@tandem/contracts/order';
import { documented, EXAMPLE_ORDER_ID, problemExample } from '../docs.ts';
import { invalidRequest, refused } from '../problem.ts';
import { EventPage, OrderPage } from './order-pages.ts';
import {
  cancel,
  cancelled,
  commandHeaders,
  everything,
  foreignCursor,
  keyHeader,
  malformedId,
  place,
  placedEverything,
  placedEvents,
  placedSmallest,
  smallest,
  tag,
  unknownId,
} from './orders.examples.ts';

export const DocumentPlaceOrder = () =>
  documented({
    id: 'placeOrder',
    tag,
    summary: 'Place an order',
    description:
      'The answer comes when the order is committed. Amounts are integers in minor units (cents for EUR). Adjustments come ' +
      'from the caller; a discount is negative. An order with a total of 0 is paid at once. A retry with the same ' +
      '`Idempotency-Key` gets the first answer again, with the header `Idempotency-Replayed: true`.',
    headers: keyHeader,
    body: {
      smallest: { summary: 'The smallest order', value: smallest },
      everything: { summary: 'An order with every field', value: everything },
    },
    success: {
      status: 201,
      description: 'The order',
      schema: Order,
      headers: { Location: 'The path of the order', ...commandHeaders },
      examples: {
        smallest: { summary: 'The smallest order', request: { body: smallest }, value: placedSmallest },
        everything: { summary: 'An order with every field', request: { body: everything }, value: placedEverything },
      },
    },
    problems: {
      invalid_request: {
        unknownField: problemExample(
          'Unknown field, and a quantity of 0',
          { body: { ...smallest, colour: 'red', lines: [{ sku: 'A-1', quantity: 0, unitPrice: 1250 }] } },
          invalidRequest([
            { pointer: '/lines/0/quantity', detail: 'must be at least 1' },
            { pointer: '/colour', detail: 'is not a field of this request' },
          ]),
        ),
        malformedKey: problemExample(
          'Idempotency key with a space',
          { body: smallest, headers: { 'Idempotency-Key': 'cart 77' } },
          invalidRequest([
            { header: 'Idempotency-Key', detail: 'takes one key of 1 to 255 visible ASCII characters, quoted or not' },
          ]),
        ),
      },
      total_mismatch: {
        wrongTotal: problemExample(
          '`expectedTotal` differs from the total',
          { body: { ...smallest, expectedTotal: 2400 } },
          refused({ code: 'total_mismatch', total: 2500 }),
        ),
      },
      total_too_large: {
        tooLarge: problemExample(
          'Total above the limit of one order',
          { body: { ...smallest, lines: [{ sku: 'A-1', quantity: 1, unitPrice: 1_000_000_000_001 }] } },
          refused({ code: 'total_too_large', total: 1_000_000_000_001, totalMax: 1_000_000_000_000 }),
        ),
      },
      reference_taken: {
        takenReference: problemExample(
          'The customer already has an order with this reference',
          {
            before: [{ operationId: 'placeOrder', body: { ...smallest, reference: 'cart-78' } }],
            body: { ...smallest, reference: 'cart-78' },
          },
          refused({ code: 'reference_taken', orderId: EXAMPLE_ORDER_ID }),
        ),
      },
      key_reused: {
        reusedKey: problemExample(
          'Key of another request',
          {
            before: [{ ...place, headers: { 'Idempotency-Key': 'cart-79' } }],
            headers: { 'Idempotency-Key': 'cart-79' },
            body: { ...smallest, delivery: 'express' },
          },
          refused({ code: 'key_reused' }),
        ),
      },
      unstorable: {},
      intake_paused: {},
      outcome_unknown: {},
    },
  });

export const DocumentGetOrder = () =>
  documented({
    id: 'getOrder',
    tag,
    summary: 'Read an order',
    headers: {
      'If-Match': { description: 'ETags, or `*`; 412 unless one of them is that of the order', example: '"1"' },
      'If-None-Match': { description: 'ETags that the client has; 304 if the order has one of them', example: '"1"' },
    },
    path: { example: EXAMPLE_ORDER_ID },
    success: {
      status: 200,
      description: 'The order',
      schema: Order,
      headers: { ETag: 'The version of the order, for If-Match and If-None-Match' },
      examples: {
        placed: { summary: 'An order that was placed', request: { before: [place] }, value: placedSmallest },
        cancelled: { summary: 'An order that was cancelled', request: { before: [place, cancel] }, value: cancelled },
      },
    },
    empty: { 304: 'The order is as the ETag of If-None-Match says' },
    problems: {
      invalid_request: malformedId,
      order_not_found: unknownId,
      version_mismatch: {
        moved: problemExample(
          'Order is of another version',
          { before: [place], headers: { 'If-Match': '"9"' } },
          refused({ code: 'version_mismatch', status: 'placed', version: 1 }, EXAMPLE_ORDER_ID),
        ),
      },
      no_answer: {},
    },
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
          summary: 'No orders match',
          request: { query: { customer: 'c-44', status: 'delivered' } },
          value: { data: [], nextCursor: null },
        },
      },
    },
    problems: {
      invalid_request: {
        ...foreignCursor,
        tooMany: problemExample(
          'Limit above 100',
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
    path: { example: EXAMPLE_ORDER_ID },
    success: {
      status: 200,
      description: 'A page of events',
      schema: EventPage,
      examples: {
        placed: {
          summary: 'An order that was placed',
          request: { before: [place] },
          value: { data: placedEvents, nextCursor: null },
        },
      },
    },
    problems: { invalid_request: { ...malformedId, ...foreignCursor }, order_not_found: unknownId, no_answer: {} },
  });
