import type { Rejection } from '@tandem/contracts/rejections';
import { z } from 'zod';

interface Kind {
  status: number;
  /** The same for every occurrence. */
  title: string;
  /** Whether the same request may succeed when it is sent again as it is. */
  retryable: boolean;
  /** What the caller can do about it. */
  advice: string;
}

/** How each refusal of orders is told over HTTP. A rejection without a line here does not compile. */
const REJECTIONS = {
  order_not_found: {
    status: 404,
    title: 'There is no such order',
    retryable: false,
    advice: 'Check the id. Ids are given in the answer and the Location header of POST /v1/orders.',
  },
  order_closed: {
    status: 409,
    title: "The order's state does not allow this",
    retryable: false,
    advice: 'Read the order: `order` holds its status and version at the time of the refusal.',
  },
  order_shipped_in_part: {
    status: 409,
    title: 'A part of the order has been shipped',
    retryable: false,
    advice: 'Refund what is not to be shipped, by its lines: an order can be cancelled until its first shipment.',
  },
  order_not_ready: {
    status: 409,
    title: 'The order has not come that far',
    retryable: false,
    advice: 'Read the order: `order` holds its status and version at the time of the refusal. It may get there yet.',
  },
  version_mismatch: {
    status: 412,
    title: 'The order has changed',
    retryable: false,
    advice: 'Read the order again, decide again, and send its ETag, which is also in this answer, as If-Match.',
  },
  // 400, because the body contradicts itself whatever the state of anything is; 422 says that a key was used before.
  total_mismatch: {
    status: 400,
    title: 'The expected total is not the total',
    retryable: false,
    advice: 'Correct `expectedTotal`, the lines or the adjustments; `total` is what they add up to.',
  },
  total_too_large: {
    status: 400,
    title: 'The order costs too much',
    retryable: false,
    advice: 'Split the order: `total` is what it comes to, in minor units, and `detail` names the most that is taken.',
  },
  reference_taken: {
    status: 409,
    title: 'The customer has an order with this reference',
    retryable: false,
    advice: 'References are unique per customer. `order` names the order that has it.',
  },
  line_unknown: {
    status: 422,
    title: 'The order has no such line',
    retryable: false,
    advice: 'Lines are named by the `id` that they have in the order.',
  },
  line_exceeded: {
    status: 422,
    title: 'That much does not remain of the line',
    retryable: false,
    advice:
      '`remaining` is how much of the line has not been refunded yet; to be shipped, how much has neither been shipped nor ' +
      'refunded.',
  },
  nothing_to_ship: {
    status: 409,
    title: 'Nothing remains to be shipped',
    retryable: false,
    advice:
      'Read the order: what was not shipped has been refunded. If a part was shipped, its delivery may be confirmed.',
  },
  too_many_events: {
    status: 409,
    title: 'Too much has happened to the order',
    retryable: false,
    advice:
      'Ship or refund all that remains at once, naming neither lines nor an amount: that is still taken, as are deliveries, ' +
      'payments and closing.',
  },
  refund_exceeded: {
    status: 422,
    title: 'That much does not remain to be refunded',
    retryable: false,
    advice: '`remaining` is what was paid and has not been asked back yet.',
  },
  nothing_to_refund: {
    status: 409,
    title: 'There is nothing to refund',
    retryable: false,
    advice: 'Read the order: its refunds add up to what was paid, or the lines cost nothing.',
  },
  payment_mismatch: {
    status: 422,
    title: 'The payment is not the one of the order',
    retryable: false,
    advice: 'An order is paid whole, in its currency: `total` is what it costs.',
  },
  already_paid: {
    status: 409,
    title: 'The order was paid by another payment',
    retryable: false,
    advice: 'Give the second payment back at the provider.',
  },
  refund_unknown: {
    status: 422,
    title: 'The order did not ask for this refund',
    retryable: false,
    advice: 'Id, amount and currency must be those of the refund that the order asked for.',
  },
  refund_settled: {
    status: 409,
    title: 'The refund was made or closed before',
    retryable: false,
    advice: 'Read the order: its `refunds` say what became of each.',
  },
  key_reused: {
    status: 422,
    title: 'The idempotency key was used with another request',
    retryable: false,
    advice: 'Use a new Idempotency-Key for a new request, and an old one only to repeat its request unchanged.',
  },
  unstorable: {
    status: 400,
    title: 'The request holds values that cannot be stored',
    retryable: false,
    advice: 'Look at `detail`, change the value and send it again.',
  },
} as const satisfies Record<Rejection['code'], Kind>;

/** What a refusal may say that has not looked up whether an earlier attempt was carried out. */
export const NOTHING_DONE = 'This attempt did nothing';

/** Every error that the API answers with, by its stable code. */
export const PROBLEMS = {
  ...REJECTIONS,
  invalid_request: {
    status: 400,
    title: 'The request breaks its contract',
    retryable: false,
    advice: '`errors` points at each place: `pointer` into the body, or `parameter`, or `header`.',
  },
  invalid_json: {
    status: 400,
    title: 'The body is not JSON',
    retryable: false,
    advice: 'Send one JSON value, in UTF-8, without keys named __proto__.',
  },
  malformed_request: {
    status: 400,
    title: 'The request is not well-formed HTTP',
    retryable: false,
    advice: 'Check the request line and the headers.',
  },
  refused: {
    status: 409,
    title: 'Orders refused this for a reason that the gateway does not know',
    retryable: false,
    advice:
      'A new version is being rolled out: `detail` names the reason, and a later repeat with the same key explains it.',
  },
  projection_not_found: {
    status: 404,
    title: 'There is no such projection',
    retryable: false,
    advice: 'GET /v1/admin/projections lists them.',
  },
  log_truncated: {
    status: 409,
    title: 'The log does not begin with its first record',
    retryable: false,
    advice:
      'What retention has deleted cannot be counted again from this log; the live copy still has it. ' +
      '`npm run recover -- --yes` publishes every event again, as a new log, from which everything is counted anew.',
  },
  route_not_found: {
    status: 404,
    title: 'There is nothing at this path',
    retryable: false,
    advice: 'All paths are in /openapi.json, and in /docs to be read.',
  },
  method_not_allowed: {
    status: 405,
    title: 'This path does not take this method',
    retryable: false,
    advice: 'The Allow header lists the methods that it takes.',
  },
  parked_not_found: {
    status: 404,
    title: 'There is no such parked message',
    retryable: false,
    advice: 'GET /v1/admin/parked lists what waits, and with `state` what was redriven or dropped.',
  },
  redrive_refused: {
    status: 409,
    title: 'The message cannot be redriven',
    retryable: false,
    advice: 'Mend what `detail` names, its reader or what stands before it, and redrive it again; or drop it.',
  },
  parked_settled: {
    status: 409,
    title: 'Something else was done with the message before',
    retryable: false,
    advice: 'GET it: `acts` says what was done, by whom and why.',
  },
  body_too_large: {
    status: 413,
    title: 'The body is too large',
    retryable: false,
    advice: 'Send less in one request: bodies may have 64 KiB.',
  },
  precondition_failed: {
    status: 412,
    title: 'A condition of the request does not hold',
    retryable: false,
    advice: 'Only an order has an ETag. Elsewhere If-Match takes *, and If-None-Match: * never holds.',
  },
  uri_too_long: {
    status: 414,
    title: 'The URL, or a part of its path, is too long',
    retryable: false,
    advice: 'Check the id in the path; a URL may have 8,000 characters.',
  },
  expectation_failed: {
    status: 417,
    title: 'The expectation is not known here',
    retryable: false,
    advice: 'Leave Expect out, or send 100-continue.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body is of a type that is not read here',
    retryable: false,
    advice: 'Send Content-Type: application/json, in UTF-8, without a Content-Encoding.',
  },
  headers_too_large: {
    status: 431,
    title: 'The headers are too large',
    retryable: false,
    advice: 'Send fewer or shorter headers.',
  },
  request_timeout: {
    status: 408,
    title: 'The request came in too slowly',
    retryable: true,
    advice: 'Send it again, at once.',
  },
  answer_too_large: {
    status: 400,
    title: 'The answer would be too large',
    retryable: false,
    advice: 'Ask for a shorter range or for one currency, as `detail` says.',
  },
  internal: {
    status: 500,
    title: 'Something is wrong on this side',
    retryable: true,
    advice: 'Report it with the `requestId`. A POST is safe to repeat with its Idempotency-Key.',
  },
  not_implemented: {
    status: 501,
    title: 'The method or the transfer coding is not known here',
    retryable: false,
    advice: 'Methods are written in capitals; bodies are sent whole or chunked, and not compressed.',
  },
  http_version_not_supported: {
    status: 505,
    title: 'This version of HTTP is not spoken here',
    retryable: false,
    advice: 'Speak HTTP/1.1.',
  },
  unavailable: {
    status: 503,
    title: 'The request was not taken',
    retryable: true,
    advice:
      'This attempt did nothing; an earlier one with the same Idempotency-Key may have. Send it again after the seconds in ' +
      'Retry-After, with its key: what was carried out is then answered as it was.',
  },
  version_differs: {
    status: 503,
    title: 'A service of another version does not understand this request',
    retryable: true,
    advice:
      'This attempt did nothing. A new version is being rolled out, and `errors` points at what one service does not know yet: ' +
      'send the request again after the seconds in Retry-After.',
  },
  intake_paused: {
    status: 503,
    title: 'New orders are not taken at the moment',
    retryable: true,
    advice:
      'This attempt did nothing. Send it again after the seconds in Retry-After; orders that are there can be read and ' +
      'changed, and a repeat of a request that was answered before is answered as it was.',
  },
  not_counted_yet: {
    status: 503,
    title: 'Analytics has not counted that far yet',
    retryable: true,
    advice: '`position` says how far it has counted. Ask again after the seconds in Retry-After.',
  },
  outcome_unknown: {
    status: 504,
    title: 'It is not known whether the request was carried out',
    retryable: true,
    advice:
      'Repeat it with the Idempotency-Key of this answer: it is carried out once at most, and answered as it was.',
  },
  no_answer: {
    status: 504,
    title: 'No answer came in time',
    retryable: true,
    advice: 'Nothing is changed by asking again.',
  },
} as const satisfies Record<string, Kind>;
export type ProblemCode = keyof typeof PROBLEMS;

/** Where a request is wrong: a JSON pointer (RFC 6901) into its body, or the name of a parameter or of a header. */
export const RequestError = z
  .strictObject({
    pointer: z.string().optional(),
    parameter: z.string().optional(),
    header: z.string().optional(),
    detail: z.string(),
  })
  .meta({ id: 'RequestError' });
export type RequestError = z.infer<typeof RequestError>;

/** The body of every error: an RFC 9457 problem document. */
export const Problem = z
  .strictObject({
    type: z.string().meta({ description: 'A path of this server that explains the code', format: 'uri-reference' }),
    title: z.string(),
    status: z.int().min(400).max(599),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
    detail: z.string(),
    retryable: z.boolean().meta({ description: 'Whether the same request may succeed when it is sent again' }),
    requestId: z.string(),
    errors: z.array(RequestError).optional(),
    order: z
      .strictObject({ id: z.string(), status: z.string().optional(), version: z.int().optional() })
      .optional()
      .meta({ description: 'The order that stands in the way' }),
    total: z.int().optional().meta({ description: 'What lines and adjustments add up to' }),
    remaining: z
      .int()
      .optional()
      .meta({ description: 'How much of it there still is: pieces of a line, or minor units' }),
    position: z.int().optional().meta({ description: 'How far analytics has counted' }),
    idempotencyKey: z.string().optional().meta({ description: 'The key with which repeating is safe' }),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof Problem>;

type Members = Omit<Problem, 'type' | 'title' | 'status' | 'code' | 'detail' | 'retryable' | 'requestId'>;

/** Thrown anywhere in the gateway to end a request with a problem document. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly code: ProblemCode;
  readonly members: Members;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    detail: string,
    more: { members?: Members; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, { cause: more.cause });
    this.code = code;
    this.members = more.members ?? {};
    this.headers = more.headers ?? {};
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }

  /** The document, for the request of this id. */
  toProblem(requestId: string): Problem {
    const { status, title, retryable } = PROBLEMS[this.code];
    const type = problemPath(this.code);
    return { type, title, status, code: this.code, detail: this.message, retryable, requestId, ...this.members };
  }
}

/** Where the code is explained: `/problems/order-closed`. */
export const problemPath = (code: ProblemCode): string => `/problems/${code.replaceAll('_', '-')}`;

/** A caller learns enough from the first of them. */
export const ERRORS_MAX = 50;

/** A request that breaks its contract. */
export function invalidRequest(errors: RequestError[]): ProblemError {
  const [first] = errors;
  const where = first?.pointer ?? first?.parameter ?? first?.header;
  const detail = first === undefined ? 'The request breaks its contract' : `${where || 'The body'} ${first.detail}`;
  return new ProblemError('invalid_request', errors.length > 1 ? `${detail}, and ${errors.length - 1} more` : detail, {
    members: { errors },
  });
}

/** A refusal of orders; `orderId` is the order that the request named, if it named one. */
export function refused(rejection: Rejection, orderId?: string): ProblemError {
  const { code } = rejection;
  // Orders may be of a later version than this gateway.
  if (!Object.hasOwn(REJECTIONS, code)) return new ProblemError('refused', `Orders refused this: ${code}`);
  switch (code) {
    case 'order_not_found':
      return new ProblemError(code, `There is no order ${rejection.orderId}`);
    case 'order_closed':
    case 'order_not_ready':
      return met(`The order is ${rejection.status}`, rejection, orderId);
    case 'order_shipped_in_part':
      return met(`A part of the order has been shipped; it is ${rejection.status}`, rejection, orderId);
    case 'version_mismatch':
      return met(`The order is at version ${rejection.version} by now`, rejection, orderId);
    case 'line_unknown':
    case 'line_exceeded': {
      const { lineId, status } = rejection;
      const remaining = code === 'line_exceeded' ? { remaining: rejection.remaining } : {};
      const detail =
        code === 'line_exceeded'
          ? `names more of line ${lineId} than the ${rejection.remaining} that remain`
          : `names line ${lineId}, which the order does not have`;
      const errors = [{ pointer: '/lines', detail }];
      return met(`/lines ${detail}; the order is ${status}`, rejection, orderId, { errors, ...remaining });
    }
    case 'nothing_to_ship':
      return met(`What was not shipped has been refunded; the order is ${rejection.status}`, rejection, orderId);
    case 'too_many_events': {
      const detail = `An order with ${rejection.eventsMax} events takes no more; it is ${rejection.status}`;
      return met(detail, rejection, orderId);
    }
    case 'refund_exceeded': {
      const { remaining, status } = rejection;
      const detail = `${remaining} remain to be refunded; the order is ${status}`;
      return met(detail, rejection, orderId, { remaining });
    }
    case 'nothing_to_refund':
      return met(`Nothing remains to be refunded; the order is ${rejection.status}`, rejection, orderId);
    case 'payment_mismatch': {
      const { total, currency, status } = rejection;
      return met(`The order costs ${total} ${currency}; it is ${status}`, rejection, orderId, { total });
    }
    case 'already_paid':
      return met(`The order was paid by ${rejection.paymentId}; it is ${rejection.status}`, rejection, orderId);
    case 'refund_unknown':
      return met(`There is no such refund ${rejection.refundId}; the order is ${rejection.status}`, rejection, orderId);
    case 'refund_settled':
      return met(
        `Refund ${rejection.refundId} was made or closed; the order is ${rejection.status}`,
        rejection,
        orderId,
      );
    case 'total_too_large': {
      const detail = `add up to ${rejection.total}, more than the ${rejection.totalMax} minor units that one order may cost`;
      const members = { errors: [{ pointer: '/lines', detail }], total: rejection.total };
      return new ProblemError(code, `/lines ${detail}`, { members });
    }
    case 'total_mismatch': {
      const detail = `is not ${rejection.total}, what lines and adjustments add up to`;
      const members = { errors: [{ pointer: '/expectedTotal', detail }], total: rejection.total };
      return new ProblemError(code, `/expectedTotal ${detail}`, { members });
    }
    case 'reference_taken': {
      const errors = [{ pointer: '/reference', detail: `is taken by order ${rejection.orderId}` }];
      const members = { errors, order: { id: rejection.orderId } };
      return new ProblemError(code, `The reference is taken by order ${rejection.orderId}`, { members });
    }
    case 'key_reused':
      return new ProblemError(code, 'The Idempotency-Key belongs to an earlier request with another body or target', {
        members: { errors: [{ header: 'Idempotency-Key', detail: 'was used with another request' }] },
      });
    case 'unstorable':
      return new ProblemError(code, rejection.detail, {
        members: { errors: [{ pointer: '', detail: rejection.detail }] },
      });
  }
}

/** A refusal that follows from the state that the command met. */
function met(
  detail: string,
  { code, status, version }: Extract<Rejection, { version: number }>,
  orderId: string | undefined,
  more: Members = {},
): ProblemError {
  const order = orderId === undefined ? {} : { order: { id: orderId, status, version } };
  return new ProblemError(code, detail, { members: { ...more, ...order }, headers: { etag: etagOf(version) } });
}

/** The strong validator of a version of an order. */
export const etagOf = (version: number): string => `"${version}"`;

/** `Retry-After` in whole seconds, one at least. */
export const retryAfter = (waitMs: number): Record<string, string> => ({
  'retry-after': String(Math.max(1, Math.ceil(waitMs / 1000))),
});
