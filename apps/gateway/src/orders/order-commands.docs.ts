import { applyDecorators } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { Order } from '@tandem/contracts/order';
import { documented, EXAMPLE_ORDER_ID, problemExample, type Example, type ExampleRequest } from '../docs.ts';
import { invalidRequest, refused, type ProblemCode } from '../problem.ts';
import {
  cancel,
  cancelled,
  commandHeaders,
  keyHeader,
  malformedId,
  paid,
  place,
  placeAndPay,
  tag,
  unknownId,
} from './orders.examples.ts';

interface Command {
  id: string;
  summary: string;
  description: string;
  body: Record<string, { summary: string; value: object }>;
  /** Leads to an order that takes the body of `accepted`. */
  before: ExampleRequest['before'];
  accepted: object;
  /** Another body, for a key that was used. */
  other: object;
  examples: Record<string, Example>;
  invalidRequests?: Record<string, Example>;
  refusals: Partial<Record<ProblemCode, Record<string, Example>>>;
}

/** What all commands on an order have in common: key, If-Match, and how they are refused. */
function documentedCommand(command: Command): MethodDecorator {
  const { id, summary, description, body, before = [], accepted, other, examples, invalidRequests, refusals } = command;
  const headers = { 'Idempotency-Key': `${id}-79` };
  return documented({
    id,
    tag,
    summary,
    description,
    headers: {
      ...keyHeader,
      'If-Match': { description: 'ETags, or `*`; 412 unless one of them is that of the order', example: '"1"' },
      'If-None-Match': { description: 'ETags, or `*`; 412 if one of them is that of the order', example: '"9"' },
    },
    bodyRequired: ['shipOrder', 'closeRefund'].includes(id),
    body,
    path: { example: EXAMPLE_ORDER_ID },
    success: { status: 200, description: 'The order as it is now', schema: Order, headers: commandHeaders, examples },
    problems: {
      invalid_request: {
        malformedId: { ...malformedId.malformedId, request: { ...malformedId.malformedId.request, body: accepted } },
        malformedIfMatch: problemExample(
          'An If-Match that is no ETag of an order',
          { before: [place], headers: { 'If-Match': 'latest' }, body: accepted },
          invalidRequest([{ header: 'If-Match', detail: 'takes * or ETags of the order, such as "3", 100 at most' }]),
        ),
        ...invalidRequests,
      },
      order_not_found: {
        unknownOrder: { ...unknownId.unknownOrder, request: { ...unknownId.unknownOrder.request, body: accepted } },
      },
      version_mismatch: {
        moved: problemExample(
          'Order changed since it was read',
          { before: [placeAndPay], headers: { 'If-Match': '"1"' }, body: accepted },
          refused({ code: 'version_mismatch', status: 'paid', version: 2 }, EXAMPLE_ORDER_ID),
        ),
      },
      key_reused: {
        reusedKey: problemExample(
          'Key of another request',
          { before: [...before, { operationId: id, headers, body: accepted }], headers, body: other },
          refused({ code: 'key_reused' }),
        ),
      },
      ...refusals,
      unstorable: {},
      outcome_unknown: {},
    },
  });
}

const closed = (body: object) =>
  problemExample(
    'Order already cancelled',
    { before: [place, cancel], body },
    refused({ code: 'order_closed', status: 'cancelled', version: 2 }, EXAMPLE_ORDER_ID),
  );
const notPaid = (body: object) =>
  problemExample(
    'Order not paid yet',
    { before: [place], body },
    refused({ code: 'order_not_ready', status: 'placed', version: 1 }, EXAMPLE_ORDER_ID),
  );

const ship = { carrier: 'post', trackingCode: 'RR123456785AT' };
const shipPart = { ...ship, lines: [{ id: 1, quantity: 1 }] };

export const DocumentCancelOrder = () =>
  documentedCommand({
    id: 'cancelOrder',
    summary: 'Cancel an order',
    description:
      'A placed order, or a paid one before its first shipment; the payment is refunded. An empty body counts as `{}`.',
    body: {
      withReason: { summary: 'With a reason', value: cancel.body },
      plain: { summary: 'Without a reason', value: {} },
    },
    before: [place],
    accepted: cancel.body,
    other: { reason: 'Ordered by mistake' },
    examples: {
      withReason: {
        summary: 'Only the version that was read',
        request: { before: [place], headers: { 'If-Match': '"1"' }, body: cancel.body },
        value: cancelled,
      },
      paid: {
        summary: 'A paid order, which is refunded',
        request: { before: [placeAndPay], body: cancel.body },
        value: {
          ...cancelled,
          version: 4,
          paid: paid.paid,
          refunds: [{ id: 1, amount: 2500, requestedAt: '2026-01-01T00:05:00.000Z' }],
        },
      },
    },
    refusals: {
      order_closed: { closed: closed({}) },
      order_shipped_in_part: {
        shippedInPart: problemExample(
          'Order shipped in part',
          { before: [placeAndPay, { operationId: 'shipOrder', body: shipPart }], body: {} },
          refused({ code: 'order_shipped_in_part', status: 'paid', version: 3 }, EXAMPLE_ORDER_ID),
        ),
      },
    },
  });

const shipment = { id: 1, ...shipPart, at: '2026-01-02T00:00:00.000Z' };
const shipWhole = { operationId: 'shipOrder', body: ship };
const shipped = {
  ...paid,
  version: 3,
  status: 'shipped',
  shipments: [{ ...shipment, lines: [{ id: 1, quantity: 2 }] }],
};

export const DocumentShipOrder = () =>
  documentedCommand({
    id: 'shipOrder',
    summary: 'Ship an order, or a part of it',
    description:
      'A paid order may be shipped in several parts. A shipment without `lines` holds everything that remains; after the last ' +
      'one the status is `shipped`. Quantities refunded by line are not shipped.',
    body: {
      whole: { summary: 'Everything that remains', value: ship },
      part: { summary: 'A part, by the ids of its lines', value: shipPart },
    },
    before: [placeAndPay],
    accepted: ship,
    other: { ...ship, carrier: 'bike' },
    examples: {
      whole: { summary: 'The whole order', request: { before: [placeAndPay], body: ship }, value: shipped },
      part: {
        summary: 'A part, after which the order is still `paid`',
        request: { before: [placeAndPay], headers: { 'If-Match': '"2"' }, body: shipPart },
        value: { ...paid, version: 3, shipments: [shipment] },
      },
    },
    invalidRequests: {
      twice: problemExample(
        'Line named twice',
        { before: [place], body: { ...ship, lines: [...shipPart.lines, ...shipPart.lines] } },
        invalidRequest([{ pointer: '/lines', detail: 'name a line twice' }]),
      ),
    },
    refusals: {
      order_closed: { closed: closed(ship) },
      order_not_ready: { notPaid: notPaid(ship) },
      nothing_to_ship: {
        refunded: problemExample(
          'Order refunded in full',
          { before: [placeAndPay, { operationId: 'refundOrder', body: {} }], body: ship },
          refused({ code: 'nothing_to_ship', status: 'paid', version: 3 }, EXAMPLE_ORDER_ID),
        ),
      },
      too_many_events: {},
      line_unknown: {
        unknownLine: problemExample(
          'Unknown line',
          { before: [placeAndPay], body: { ...ship, lines: [{ id: 7, quantity: 1 }] } },
          refused({ code: 'line_unknown', status: 'paid', version: 2, lineId: 7 }, EXAMPLE_ORDER_ID),
        ),
      },
      line_exceeded: {
        tooMany: problemExample(
          'More than remains of the line',
          {
            before: [placeAndPay, { operationId: 'shipOrder', body: shipPart }],
            body: { ...ship, lines: [{ id: 1, quantity: 2 }] },
          },
          refused({ code: 'line_exceeded', status: 'paid', version: 3, lineId: 1, remaining: 1 }, EXAMPLE_ORDER_ID),
        ),
      },
    },
  });

export const DocumentConfirmDelivery = () =>
  documentedCommand({
    id: 'confirmDelivery',
    summary: 'Confirm that an order was delivered',
    description: 'The order must be shipped in full, or its rest refunded. An empty body counts as `{}`.',
    body: { plain: { summary: 'Empty', value: {} } },
    before: [placeAndPay, shipWhole],
    accepted: {},
    other: {},
    examples: {
      delivered: {
        summary: 'An order that was shipped',
        request: { before: [placeAndPay, shipWhole], headers: { 'If-Match': '"3"' }, body: {} },
        value: { ...shipped, version: 4, status: 'delivered', deliveredAt: '2026-01-03T00:00:00.000Z' },
      },
    },
    refusals: {
      order_closed: { closed: closed({}) },
      order_not_ready: { notPaid: notPaid({}) },
      key_reused: {},
    },
  });

const refund = { amount: 500, reason: 'Arrived late' };
const refundLines = { lines: [{ id: 1, quantity: 1 }], reason: 'Arrived broken' };
const requestedAt = '2026-01-04T00:00:00.000Z';

export const DocumentRefundOrder = () =>
  documentedCommand({
    id: 'refundOrder',
    summary: 'Refund an order, or a part of it',
    description:
      'A payment may be refunded in several parts: an amount, lines, or everything that remains. A line carries its share ' +
      'of shipping, tax and discounts: the total is split in proportion to the prices of the lines, in whole minor units that ' +
      'add up to it (largest remainder; among equal remainders the first line), and a line among its pieces in the same way. ' +
      'Quantities refunded by line are not shipped, and nothing is shipped once the order is refunded in full. The answer ' +
      'holds the refund as requested; `recordedAt` is set when the money has gone back. If the provider declines it, ' +
      '`declined` says why, and its amount and lines can be requested again, also of a cancelled order, or the refund can be ' +
      'closed by hand. `refundStatus` says how much has gone back. An empty body counts as `{}`.',
    body: {
      amount: { summary: 'An amount, in minor units', value: refund },
      lines: { summary: 'Lines, with their shares of the adjustments', value: refundLines },
      rest: { summary: 'Everything that remains', value: {} },
    },
    before: [placeAndPay],
    accepted: refund,
    other: { ...refund, amount: 600 },
    examples: {
      amount: {
        summary: 'An amount',
        request: { before: [placeAndPay], body: refund },
        value: { ...paid, version: 3, refunds: [{ id: 1, ...refund, requestedAt }] },
      },
      lines: {
        summary: 'One of two pieces, after delivery',
        request: { before: [placeAndPay, shipWhole, { operationId: 'confirmDelivery', body: {} }], body: refundLines },
        value: {
          ...shipped,
          version: 5,
          status: 'delivered',
          deliveredAt: '2026-01-03T00:00:00.000Z',
          refunds: [{ id: 1, amount: 1250, ...refundLines, requestedAt }],
        },
      },
    },
    invalidRequests: {
      both: problemExample(
        'Both an amount and lines',
        { before: [place], body: { ...refund, ...refundLines } },
        invalidRequest([{ pointer: '/lines', detail: 'cannot be given together with an amount' }]),
      ),
    },
    refusals: {
      order_closed: { closed: closed({}) },
      order_not_ready: { notPaid: notPaid({}) },
      too_many_events: {},
      refund_exceeded: {
        tooMuch: problemExample(
          'More than was paid',
          { before: [placeAndPay], body: { amount: 2501 } },
          refused({ code: 'refund_exceeded', status: 'paid', version: 2, remaining: 2500 }, EXAMPLE_ORDER_ID),
        ),
      },
      nothing_to_refund: {
        twice: problemExample(
          'Everything is requested already',
          { before: [placeAndPay, { operationId: 'refundOrder', body: {} }], body: {} },
          refused({ code: 'nothing_to_refund', status: 'paid', version: 3 }, EXAMPLE_ORDER_ID),
        ),
      },
      line_unknown: {
        unknownLine: problemExample(
          'Unknown line',
          { before: [placeAndPay], body: { lines: [{ id: 7, quantity: 1 }] } },
          refused({ code: 'line_unknown', status: 'paid', version: 2, lineId: 7 }, EXAMPLE_ORDER_ID),
        ),
      },
      line_exceeded: {
        tooMany: problemExample(
          'More than remains of the line',
          { before: [placeAndPay], body: { lines: [{ id: 1, quantity: 3 }] } },
          refused({ code: 'line_exceeded', status: 'paid', version: 2, lineId: 1, remaining: 2 }, EXAMPLE_ORDER_ID),
        ),
      },
    },
  });

const close = { reason: 'Paid back by bank transfer' };
const refundFirst = { operationId: 'refundOrder', body: refund };

export const DocumentCloseRefund = () =>
  applyDecorators(
    documentedCommand({
      id: 'closeRefund',
      summary: 'Close a refund by hand',
      description:
        'For a refund that the payment provider declined or does not decide, and that was settled in another way. It is not ' +
        'requested again, and its amount still counts as requested, so that it is not paid twice.',
      body: { withReason: { summary: 'How it was settled', value: close } },
      before: [placeAndPay, refundFirst],
      accepted: close,
      other: { reason: 'The customer keeps the goods' },
      examples: {
        closed: {
          summary: 'A refund that the provider declined',
          request: { before: [placeAndPay, refundFirst], body: close },
          value: {
            ...paid,
            version: 4,
            refunds: [{ id: 1, ...refund, requestedAt, closed: { ...close, at: '2026-01-05T00:00:00.000Z' } }],
          },
        },
      },
      refusals: {
        order_not_ready: { notPaid: notPaid(close) },
        refund_unknown: {
          unknownRefund: problemExample(
            'Unknown refund',
            { before: [placeAndPay], body: close },
            refused({ code: 'refund_unknown', status: 'paid', version: 2, refundId: 1 }, EXAMPLE_ORDER_ID),
          ),
        },
        refund_settled: {
          closedTwice: problemExample(
            'Refund already closed',
            { before: [placeAndPay, refundFirst, { operationId: 'closeRefund', body: close }], body: close },
            refused({ code: 'refund_settled', status: 'paid', version: 4, refundId: 1 }, EXAMPLE_ORDER_ID),
          ),
        },
        refund_exceeded: {},
        line_exceeded: {},
      },
    }),
    ApiParam({ name: 'refundId', description: 'The `id` that the refund has in the order', example: 1 }),
  );
