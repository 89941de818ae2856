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
      'If-Match': { description: 'ETags of which the order must have one, or *; 412 otherwise', example: '"1"' },
      'If-None-Match': { description: 'ETags that the order must not have; * refuses whatever it has', example: '"9"' },
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
          'An order that has changed since it was read',
          { before: [placeAndPay], headers: { 'If-Match': '"1"' }, body: accepted },
          refused({ code: 'version_mismatch', status: 'paid', version: 2 }, EXAMPLE_ORDER_ID),
        ),
      },
      key_reused: {
        reusedKey: problemExample(
          'The key of another request',
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
    'An order that is cancelled already',
    { before: [place, cancel], body },
    refused({ code: 'order_closed', status: 'cancelled', version: 2 }, EXAMPLE_ORDER_ID),
  );
const notPaid = (body: object) =>
  problemExample(
    'An order that is not paid yet',
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
      'From placed, or from paid until the first shipment; what was paid is refunded. An empty body counts as {}.',
    body: {
      withReason: { summary: 'Saying why', value: cancel.body },
      plain: { summary: 'Saying nothing', value: {} },
    },
    before: [place],
    accepted: cancel.body,
    other: { reason: 'Ordered by mistake' },
    examples: {
      withReason: {
        summary: 'The version that was read',
        request: { before: [place], headers: { 'If-Match': '"1"' }, body: cancel.body },
        value: cancelled,
      },
      paid: {
        summary: 'One that was paid, whose money goes back',
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
          'An order of which a part has been shipped',
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
      'A paid order is shipped in as many parts as it takes, each with what remains unless lines are named; with the last it ' +
      'is `shipped`. What was refunded by its lines does not remain.',
    body: {
      whole: { summary: 'All that remains', value: ship },
      part: { summary: 'A part, by the ids of its lines', value: shipPart },
    },
    before: [placeAndPay],
    accepted: ship,
    other: { ...ship, carrier: 'bike' },
    examples: {
      whole: { summary: 'All of it', request: { before: [placeAndPay], body: ship }, value: shipped },
      part: {
        summary: 'A part of it, after which it is still `paid`',
        request: { before: [placeAndPay], headers: { 'If-Match': '"2"' }, body: shipPart },
        value: { ...paid, version: 3, shipments: [shipment] },
      },
    },
    invalidRequests: {
      twice: problemExample(
        'A line that is named twice',
        { before: [place], body: { ...ship, lines: [...shipPart.lines, ...shipPart.lines] } },
        invalidRequest([{ pointer: '/lines', detail: 'name a line twice' }]),
      ),
    },
    refusals: {
      order_closed: { closed: closed(ship) },
      order_not_ready: { notPaid: notPaid(ship) },
      nothing_to_ship: {
        refunded: problemExample(
          'An order that was refunded whole',
          { before: [placeAndPay, { operationId: 'refundOrder', body: {} }], body: ship },
          refused({ code: 'nothing_to_ship', status: 'paid', version: 3 }, EXAMPLE_ORDER_ID),
        ),
      },
      too_many_events: {},
      line_unknown: {
        unknownLine: problemExample(
          'A line that the order does not have',
          { before: [placeAndPay], body: { ...ship, lines: [{ id: 7, quantity: 1 }] } },
          refused({ code: 'line_unknown', status: 'paid', version: 2, lineId: 7 }, EXAMPLE_ORDER_ID),
        ),
      },
      line_exceeded: {
        tooMany: problemExample(
          'More than remains of a line',
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
    description: 'Once it is shipped whole, or the rest of it was refunded. An empty body counts as {}.',
    body: { plain: { summary: 'Nothing needs to be said', value: {} } },
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
      'What was paid goes back in as many parts as it takes: an amount, lines, or all that remains. A line carries its ' +
      'share of shipping, tax and discounts: the total is split in proportion to the prices of the lines, in whole minor units ' +
      'that add up to it (largest remainder; of equal ones the first line), and a line among its pieces in the same way. What is ' +
      'refunded by its lines is not shipped any more, nor is anything once the order is refunded whole. The answer holds the ' +
      'refund as asked for; `recordedAt` says when the money went. If the provider refuses it, `declined` says why, and its ' +
      'amount and lines may be asked for again, also of a cancelled order; or the refund is closed by hand. `refundStatus` ' +
      'counts what was given back. An empty body counts as {}.',
    body: {
      amount: { summary: 'An amount, in minor units', value: refund },
      lines: { summary: 'Lines, with their share of the adjustments', value: refundLines },
      rest: { summary: 'All that remains', value: {} },
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
        summary: 'One of two pieces, after the delivery',
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
        'An amount and lines',
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
          'An order whose money has all been asked back',
          { before: [placeAndPay, { operationId: 'refundOrder', body: {} }], body: {} },
          refused({ code: 'nothing_to_refund', status: 'paid', version: 3 }, EXAMPLE_ORDER_ID),
        ),
      },
      line_unknown: {
        unknownLine: problemExample(
          'A line that the order does not have',
          { before: [placeAndPay], body: { lines: [{ id: 7, quantity: 1 }] } },
          refused({ code: 'line_unknown', status: 'paid', version: 2, lineId: 7 }, EXAMPLE_ORDER_ID),
        ),
      },
      line_exceeded: {
        tooMany: problemExample(
          'More than remains of a line',
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
        'For a refund that the payment provider declined, or does not decide: somebody has settled it in another way. It is not asked ' +
        'for any more, and its amount stays asked back, so that it is not paid twice.',
      body: { withReason: { summary: 'How it was settled', value: close } },
      before: [placeAndPay, refundFirst],
      accepted: close,
      other: { reason: 'The customer keeps the goods' },
      examples: {
        closed: {
          summary: 'A refund that the provider did not make',
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
            'A refund that the order did not ask for',
            { before: [placeAndPay], body: close },
            refused({ code: 'refund_unknown', status: 'paid', version: 2, refundId: 1 }, EXAMPLE_ORDER_ID),
          ),
        },
        refund_settled: {
          closedTwice: problemExample(
            'A refund that was closed before',
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
