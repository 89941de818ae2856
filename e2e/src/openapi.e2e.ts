import { randomUUID } from 'node:crypto';
import { Ajv, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';
import type { Order } from '@tandem/contracts/order';
import { call, get, type Answer } from './http.testing.ts';
import { park } from './parked.testing.ts';
import { pay } from './paying.testing.ts';

// Sends every example of the OpenAPI document and holds status, headers and body to the document. Beside each answer the
// document has the request that leads to it (`x-request`), with what must have been sent before.

interface ExampleRequest {
  operationId?: string;
  until?: 'paid';
  before?: ExampleRequest[];
  id?: string;
  parks?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: unknown;
}
interface Example {
  summary: string;
  value: unknown;
  'x-request'?: ExampleRequest;
}
interface Response {
  headers?: Record<string, unknown>;
  content?: Record<string, { schema: object; examples?: Record<string, Example> }>;
}
interface Operation {
  operationId: string;
  requestBody?: { content: Record<string, { schema: object; examples: Record<string, Example> }> };
  responses: Record<string, Response>;
}
interface Described {
  method: string;
  path: string;
  operation: Operation;
}

const answer = await get('/openapi.json');
if (answer.status !== 200) throw new Error(`No document: ${answer.status} ${answer.text}`);
const document = answer.body as { paths: Record<string, Record<string, Operation>>; components: object };
const operations: Described[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
);

// The dialect of OpenAPI 3.0 has `nullable`, which Ajv knows, and `example`, which it may ignore.
const ajv = new Ajv({ strict: false, allErrors: true });
formats.default(ajv);
ajv.addSchema({ $id: 'document', components: closed(document.components) });
const compile = (schema: object): ValidateFunction =>
  ajv.compile(
    JSON.parse(JSON.stringify(closed(schema)).replaceAll('"#/components', '"document#/components')) as object,
  );

/** With the objects of answers closed: what is answered is documented, though clients are to ignore more. */
function closed(schema: object): object {
  return JSON.parse(JSON.stringify(schema), (_name, value) =>
    value?.type === 'object' && value.properties !== undefined ? { additionalProperties: false, ...value } : value,
  ) as object;
}

describe.each(operations)('$method $path', (described) => {
  const { operation } = described;

  const answers = Object.entries(operation.responses).flatMap(([status, response]) =>
    Object.entries(response.content ?? {}).flatMap(([type, { schema, examples }]) =>
      Object.entries(examples ?? {}).map(([name, example]) => ({ status, name, type, schema, response, example })),
    ),
  );

  it.each(answers)('$status $name', async ({ status, type, schema, response, example }) => {
    const run = randomUUID();
    const request = example['x-request'];
    if (request === undefined) throw new Error('The example does not say which request leads to it');
    const received = await sendAll(described, request, run);
    expect([received.status, received.text]).toEqual([Number(status), expect.anything()]);
    expect(received.headers.get('content-type')).toMatch(new RegExp(`^${type.replace('+', '\\+')}(;|$)`));
    for (const header of Object.keys(response.headers ?? {}))
      expect([header, received.headers.get(header)]).toEqual([header, expect.stringMatching(/./)]);
    const validate = compile(schema);
    validate(received.body);
    expect(validate.errors).toBeNull();
    expect(likeExample(received.body)).toEqual(likeExample(unique(example.value, run)));
  });

  const bodies = Object.values(operation.requestBody?.content ?? {}).flatMap(({ schema, examples }) =>
    Object.entries(examples).map(([name, example]) => ({ name, schema, example })),
  );

  if (bodies.length > 0)
    it.each(bodies)('takes the body $name', async ({ schema, example }) => {
      const validate = compile(schema);
      validate(example.value);
      expect(validate.errors).toBeNull();
      const before = pathTo(operation.operationId);
      const parks = described.path.startsWith('/v1/admin/parked/{id}')
        ? '{"pattern":"order.eat","data":{}}'
        : undefined;
      const id = described.path.startsWith('/v1/admin/projections/{name}') ? 'order-counts' : undefined;
      const request = { before, ...(parks && { parks }), ...(id && { id }), body: example.value };
      const received = await sendAll(described, request, randomUUID());
      expect([Math.floor(received.status / 100), received.text]).toEqual([2, expect.anything()]);
    });
});

it('every operation has an example of success and of a refusal', () => {
  for (const { operation } of operations) {
    const withExamples = Object.entries(operation.responses)
      .filter(([, { content }]) => Object.values(content ?? {}).some(({ examples }) => examples !== undefined))
      .map(([status]) => status.charAt(0));
    expect([operation.operationId, withExamples]).toEqual([operation.operationId, expect.arrayContaining(['2', '4'])]);
  }
});

/** What an operation's bodies need before them. */
function pathTo(operationId: string): ExampleRequest[] {
  const placeAndPay: ExampleRequest = { operationId: 'placeOrder', until: 'paid' };
  if (operationId === 'cancelOrder') return [{ operationId: 'placeOrder' }];
  if (operationId === 'confirmDelivery') return [placeAndPay, { operationId: 'shipOrder' }];
  if (operationId === 'closeRefund') return [placeAndPay, { operationId: 'refundOrder' }];
  return ['shipOrder', 'refundOrder'].includes(operationId) ? [placeAndPay] : [];
}

/** Sends what must come before, then the request itself. */
async function sendAll(described: Described, request: ExampleRequest, run: string): Promise<Answer> {
  let orderId = request.parks === undefined ? undefined : await park(request.parks);
  for (const earlier of request.before ?? []) {
    const target = operations.find(({ operation }) => operation.operationId === earlier.operationId);
    if (target === undefined) throw new Error(`There is no operation ${earlier.operationId}`);
    const first = Object.values(Object.values(target.operation.requestBody?.content ?? {})[0]?.examples ?? {})[0];
    const received = await send(target, { body: first?.value, ...earlier }, run, orderId);
    if (received.status >= 300) throw new Error(`${earlier.operationId}: ${received.status} ${received.text}`);
    if (earlier.operationId === 'placeOrder') orderId = received.body.id as string;
    if (earlier.until === 'paid') await pay(received.body as Order);
  }
  return send(described, request, run, orderId);
}

function send({ method, path }: Described, request: ExampleRequest, run: string, orderId?: string): Promise<Answer> {
  const { id = orderId, body, query, headers } = unique(request, run);
  if (path.includes('{') && id === undefined) throw new Error(`${path} needs an order`);
  return call(method, path.replace('{refundId}', '1').replace(/\{\w+\}/, id ?? ''), {
    ...(body === undefined ? {} : { json: body }),
    ...(query && { query }),
    ...(headers && { headers }),
  });
}

/** Customers and keys are of this run alone, or the second run of the tests would meet the orders of the first. */
function unique<T>(value: T, run: string): T {
  return JSON.parse(JSON.stringify(value), (name, inner: unknown) => {
    if (name === 'customerId' || name === 'customer') return `${String(inner)}-${run}`;
    // Appended to keys that are well-formed; those that are not shall stay so.
    if (name === 'Idempotency-Key') return `${String(inner)}-${run}`;
    return inner;
  }) as T;
}

/** What differs from one time to the next: ids, times, positions, and everything that was counted. */
const PASSING = new Set([
  ...['id', 'orderId', 'paymentId', 'position', 'requestId', 'revision', 'rebuild'],
  ...['placedAt', 'deliveredAt', 'requestedAt', 'since', 'time', 'at', 'parkedAt', 'source'],
]);
const COUNTED = new Set([
  ...['orders', 'revenue', 'refunds', 'rates', 'cancellations', 'toPay', 'toShip', 'data', 'parked'],
  ...['lag', 'partitions'],
]);

/** The body without what passes: of those fields, only that they are there and of which type. */
function likeExample(body: unknown): unknown {
  // Of the projections the example shows the first.
  if (Array.isArray(body)) return (body[0]?.codeVersion === undefined ? body : body.slice(0, 1)).map(likeExample);
  if (typeof body === 'string') return body.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|(?<=^|\s)orders-\d+/g, '<id>');
  if (typeof body !== 'object' || body === null) return body;
  const isCount = 'parked' in body;
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => {
      // There may be more, of other tests.
      if (name === 'nextCursor') return [name, 'a cursor or null'];
      // Null when nothing waits to be counted.
      if (name === 'oldestAgeMs') return [name, 'an age or null'];
      if (PASSING.has(name) || (isCount && COUNTED.has(name))) return [name, typeof value];
      return [name, likeExample(value)];
    }),
  );
}
