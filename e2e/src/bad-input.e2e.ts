import {
  call,
  get,
  newCustomer,
  placed,
  post,
  rareCurrency,
  smallestOrder,
  summaryAfter,
  type Answer,
} from './http.testing.ts';

const customerId = newCustomer();
const currency = rareCurrency();
const good = smallestOrder(customerId, currency);
const line = { sku: 'A-1', quantity: 2, unitPrice: 1250 };
const place = (body: unknown) => post('/v1/orders', body);
const placeText = (raw: string | Uint8Array, type?: string) =>
  call('POST', '/v1/orders', { raw, headers: type === undefined ? {} : { 'content-type': type } });
const UNKNOWN_ID = '00000000-0000-7000-8000-000000000000';

let order: { id: string; position: number };
let before: { revenue: { currency: string; placedAmount: number }[]; parked: number };
const placedAmount = (summary: typeof before) =>
  summary.revenue.find((sums) => sums.currency === currency)?.placedAmount ?? 0;

beforeAll(async () => {
  order = await placed(good);
  before = await summaryAfter(order.position);
});

/** A problem document of this status and code that points there. */
function expectProblem(answer: Answer, status: number, code: string, place?: Record<string, string>): void {
  expect([answer.status, answer.body?.code, answer.body?.status]).toEqual([status, code, status]);
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(answer.body).toMatchObject({
    type: `/problems/${code.replaceAll('_', '-')}`,
    title: expect.stringMatching(/\w/),
    detail: expect.stringMatching(/\w/),
    retryable: false,
    requestId: answer.headers.get('x-request-id'),
  });
  if (place !== undefined) expect(answer.body.errors).toContainEqual({ ...place, detail: expect.stringMatching(/\w/) });
}

describe('a body that is not JSON', () => {
  it.each([
    ['no JSON at all', 'hello'],
    ['JSON cut short', '{"customerId":"c-1"'],
    ['JSON with a comma too many', '{"customerId":"c-1",}'],
    ['two values', '{} {}'],
    ['a key named __proto__', JSON.stringify(good).replace('{', '{"__proto__":{"admin":true},')],
    ['bytes that are not UTF-8', Buffer.from(JSON.stringify(good).replace('A-1', 'A-\xff'), 'latin1')],
  ])('%s', async (_what, raw) => {
    expectProblem(await placeText(raw, 'application/json'), 400, 'invalid_json');
  });
});

describe('an order that breaks its contract', () => {
  it.each<[string, unknown, string]>([
    ['an unknown field', { ...good, colour: 'red' }, '/colour'],
    ['an unknown field within', { ...good, lines: [{ ...line, colour: 'red' }] }, '/lines/0/colour'],
    ['a line that brings its own id', { ...good, lines: [{ ...line, id: 1 }] }, '/lines/0/id'],
    ['an id of its own', { ...good, id: UNKNOWN_ID }, '/id'],
    ['no customer', { ...good, customerId: undefined }, '/customerId'],
    ['no currency', { ...good, currency: undefined }, '/currency'],
    ['no lines', { ...good, lines: undefined }, '/lines'],
    ['null for a field', { ...good, reference: null }, '/reference'],
    ['empty lines', { ...good, lines: [] }, '/lines'],
    ['101 lines', { ...good, lines: Array.from({ length: 101 }, () => line) }, '/lines'],
    ['a quantity of none', { ...good, lines: [{ ...line, quantity: 0 }] }, '/lines/0/quantity'],
    ['a negative quantity', { ...good, lines: [line, { ...line, quantity: -1 }] }, '/lines/1/quantity'],
    ['a fractional quantity', { ...good, lines: [{ ...line, quantity: 1.5 }] }, '/lines/0/quantity'],
    ['a quantity as a text', { ...good, lines: [{ ...line, quantity: '2' }] }, '/lines/0/quantity'],
    ['a negative price', { ...good, lines: [{ ...line, unitPrice: -1 }] }, '/lines/0/unitPrice'],
    ['a fractional price', { ...good, lines: [{ ...line, unitPrice: 0.1 }] }, '/lines/0/unitPrice'],
    ['a price past the safe range', { ...good, lines: [{ ...line, unitPrice: 2 ** 53 }] }, '/lines/0/unitPrice'],
    ['a sum past the safe range', { ...good, lines: [{ ...line, unitPrice: Number.MAX_SAFE_INTEGER }] }, '/lines'],
    ['a sum below zero', { ...good, adjustments: [{ kind: 'discount', amount: -2501 }] }, '/adjustments'],
    ['a discount that adds', { ...good, adjustments: [{ kind: 'discount', amount: 1 }] }, '/adjustments/0/amount'],
    ['a tax that takes away', { ...good, adjustments: [{ kind: 'tax', amount: -1 }] }, '/adjustments/0/amount'],
    ['a currency that is none', { ...good, currency: 'EURO' }, '/currency'],
    ['a currency in small letters', { ...good, currency: 'eur' }, '/currency'],
    ['a currency that is a test code', { ...good, currency: 'XTS' }, '/currency'],
    ['NUL in an identifier', { ...good, reference: 'a\u0000b' }, '/reference'],
    ['a control character in an identifier', { ...good, customerId: 'a\nb' }, '/customerId'],
    ['half a surrogate pair in an identifier', { ...good, customerId: 'c-\ud800' }, '/customerId'],
    ['the other half', { ...good, lines: [{ ...line, sku: '\udc00' }] }, '/lines/0/sku'],
    ['an identifier in Normalization Form D', { ...good, customerId: 'cafe\u0301' }, '/customerId'],
    ['an invisible character in an identifier', { ...good, reference: 'cart-\u200b77' }, '/reference'],
    [
      'a bidirectional control character in an identifier',
      { ...good, lines: [{ ...line, sku: 'A\u202e1' }] },
      '/lines/0/sku',
    ],
    ['a space at the end of an identifier', { ...good, reference: 'cart-77 ' }, '/reference'],
    ['NUL in a text', { ...good, metadata: { note: 'a\u0000b' } }, '/metadata/note'],
    ['half a surrogate pair in a text', { ...good, metadata: { note: 'a\ud800b' } }, '/metadata/note'],
    [
      '21 entries of metadata',
      { ...good, metadata: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`k${n}`, 'v'])) },
      '/metadata',
    ],
    ['a long identifier', { ...good, reference: 'x'.repeat(65) }, '/reference'],
    ['an unknown way of delivery', { ...good, delivery: 'drone' }, '/delivery'],
    ['an unknown way of payment', { ...good, payment: { method: 'cash' } }, '/payment/method'],
    ['an array for an order', [good], ''],
    ['a text for an order', 'order', ''],
  ])('%s', async (_what, body, pointer) => {
    expectProblem(await place(body), 400, 'invalid_request', { pointer });
  });

  it('a number that JSON cannot hold exactly', async () => {
    const raw = JSON.stringify(good).replace('1250', '9007199254740993');
    expectProblem(await placeText(raw, 'application/json'), 400, 'invalid_request', {
      pointer: '/lines/0/unitPrice',
    });
  });

  it('an empty body', async () => {
    expectProblem(await call('POST', '/v1/orders'), 400, 'invalid_request', { pointer: '/customerId' });
  });
});

it('a body past the limit', async () => {
  const body = { ...good, lines: Array.from({ length: 100 }, () => ({ ...line, sku: 'x'.repeat(700) })) };
  expectProblem(await place(body), 413, 'body_too_large');
});

it.each([['text/plain'], ['application/x-www-form-urlencoded'], ['application/xml'], [undefined]])(
  'a wrong content type: %s',
  async (type) => {
    expectProblem(await placeText(JSON.stringify(good), type), 415, 'unsupported_media_type');
  },
);

describe('an id', () => {
  it.each([
    ['GET', ''],
    ['GET', '/events'],
    ['POST', '/cancel'],
    ['POST', '/deliver'],
    ['POST', '/refund'],
  ])('of no order: %s …%s', async (method, path) => {
    expectProblem(await call(method, `/v1/orders/${UNKNOWN_ID}${path}`), 404, 'order_not_found');
  });

  it('of no order: POST …/ship', async () => {
    const body = { carrier: 'post', trackingCode: 'RR1' };
    expectProblem(await post(`/v1/orders/${UNKNOWN_ID}/ship`, body), 404, 'order_not_found');
  });

  it.each(['42', 'null', `${UNKNOWN_ID}0`, "1'; drop table orders --"])('that is none: %s', async (id) => {
    for (const [method, path, json] of [
      ['GET', ''],
      ['GET', '/events'],
      ['POST', '/cancel'],
      ['POST', '/ship', { carrier: 'post', trackingCode: 'RR1' }],
      ['POST', '/deliver'],
      ['POST', '/refund'],
    ] as const) {
      const answer = await call(method, `/v1/orders/${encodeURIComponent(id)}${path}`, { ...(json && { json }) });
      expectProblem(answer, 400, 'invalid_request', { parameter: 'id' });
    }
  });
});

describe('a cancellation that breaks its contract', () => {
  it.each<[string, unknown, string]>([
    ['an unknown field', { because: 'x' }, '/because'],
    ['an empty reason', { reason: '' }, '/reason'],
    ['a long reason', { reason: 'x'.repeat(501) }, '/reason'],
    ['NUL', { reason: 'a\u0000' }, '/reason'],
    ['half a surrogate pair', { reason: '\udfff' }, '/reason'],
    ['a number', { reason: 7 }, '/reason'],
  ])('%s', async (_what, body, pointer) => {
    expectProblem(await post(`/v1/orders/${order.id}/cancel`, body), 400, 'invalid_request', { pointer });
  });
});

describe('a command on an order that breaks its contract', () => {
  const ship = { carrier: 'post', trackingCode: 'RR1' };
  it.each<[string, string, unknown, string]>([
    ['ship', 'no carrier', { trackingCode: 'RR1' }, '/carrier'],
    ['ship', 'nothing', {}, '/trackingCode'],
    ['ship', 'a long carrier', { ...ship, carrier: 'x'.repeat(65) }, '/carrier'],
    ['ship', 'a control character in the code', { ...ship, trackingCode: 'a\nb' }, '/trackingCode'],
    ['ship', 'an unknown field', { ...ship, weight: 1 }, '/weight'],
    ['ship', 'no lines in the list', { ...ship, lines: [] }, '/lines'],
    [
      'ship',
      '101 lines',
      { ...ship, lines: Array.from({ length: 101 }, (_, n) => ({ id: n + 1, quantity: 1 })) },
      '/lines',
    ],
    ['ship', 'a line twice', { ...ship, lines: [1, 1].map((id) => ({ id, quantity: 1 })) }, '/lines'],
    ['ship', 'a line of none', { ...ship, lines: [{ id: 1, quantity: 0 }] }, '/lines/0/quantity'],
    ['ship', 'a line without an id', { ...ship, lines: [{ quantity: 1 }] }, '/lines/0/id'],
    ['ship', 'a line by its sku', { ...ship, lines: [{ id: 1, sku: 'A-1', quantity: 1 }] }, '/lines/0/sku'],
    ['deliver', 'an unknown field', { at: 'noon' }, '/at'],
    ['refund', 'an amount of nothing', { amount: 0 }, '/amount'],
    ['refund', 'a negative amount', { amount: -1 }, '/amount'],
    ['refund', 'a fraction', { amount: 0.5 }, '/amount'],
    ['refund', 'an amount as a text', { amount: '5' }, '/amount'],
    ['refund', 'an amount past the safe range', { amount: 2 ** 53 }, '/amount'],
    ['refund', 'an amount and lines', { amount: 5, lines: [{ id: 1, quantity: 1 }] }, '/lines'],
    ['refund', 'a line twice', { lines: [1, 1].map((id) => ({ id, quantity: 1 })) }, '/lines'],
    ['refunds/1/close', 'no reason', {}, '/reason'],
    ['refund', 'an empty reason', { reason: '' }, '/reason'],
    ['refund', 'NUL', { reason: 'a\u0000' }, '/reason'],
  ])('%s: %s', async (action, _what, body, pointer) => {
    expectProblem(await post(`/v1/orders/${order.id}/${action}`, body), 400, 'invalid_request', { pointer });
  });

  it.each(['0', '-1', '1.5', '1e1', 'first', '99999999'])('refunds/%s/close: an id of no refund', async (refundId) => {
    const answer = await post(`/v1/orders/${order.id}/refunds/${refundId}/close`, { reason: 'by hand' });
    expectProblem(answer, 400, 'invalid_request', { parameter: 'refundId' });
  });

  it.each<[string, object]>([
    ['ship', ship],
    ['deliver', {}],
    ['refund', {}],
  ])('%s: a malformed If-Match', async (action, body) => {
    const answer = await post(`/v1/orders/${order.id}/${action}`, body, { 'If-Match': 'W/1' });
    expectProblem(answer, 400, 'invalid_request', { header: 'If-Match' });
  });
});

describe('a header that is malformed', () => {
  it.each([
    ['Idempotency-Key', ''],
    ['Idempotency-Key', 'two words'],
    ['Idempotency-Key', '"open'],
    ['Idempotency-Key', 'x'.repeat(256)],
    ['If-Match', '1'],
    ['If-Match', '"1" "2"'],
    ['If-None-Match', 'latest'],
  ])('%s: %s', async (header, value) => {
    const answer = await post(`/v1/orders/${order.id}/cancel`, {}, { [header]: value });
    expectProblem(answer, 400, 'invalid_request', { header });
  });
});

describe('a parameter that is malformed', () => {
  it.each([
    ['/v1/orders', 'cursor', 'bm90LWEtY3Vyc29y'],
    ['/v1/orders', 'cursor', '../../etc/passwd'],
    ['/v1/orders', 'cursor', '%00'],
    ['/v1/orders', 'cursor', ''],
    ['/v1/orders', 'limit', '0'],
    ['/v1/orders', 'limit', '101'],
    ['/v1/orders', 'limit', '-1'],
    ['/v1/orders', 'limit', 'many'],
    ['/v1/orders', 'status', 'lost'],
    ['/v1/orders', 'currency', 'EURO'],
    ['/v1/orders', 'placedFrom', 'yesterday'],
    ['/v1/orders', 'placedFrom', '2026-01-01T00:00:00.0001Z'],
    ['/v1/orders', 'placedAfter', '2026-01-01'],
    ['/v1/orders', 'placedAfter', '2026-01-01T00:00:00'],
    ['/v1/orders', 'placedBefore', '2026-01-01T00:00:00.123456Z'],
    ['/v1/orders', 'placedBefore', '0000-01-01T00:00:00+10:00'],
    ['/v1/orders', 'placedBefore', '2026-02-30T00:00:00Z'],
    ['/v1/orders', 'customer', ''],
    ['/v1/orders', 'customer', 'a\u0000b'],
    ['/v1/orders', 'page', '2'],
    ['/v1/analytics/summary', 'after', 'now'],
    ['/v1/analytics/summary', 'after', '-1'],
    ['/v1/analytics/summary', 'since', '1'],
    ['/v1/analytics/revenue', 'from', 'yesterday'],
    ['/v1/analytics/revenue', 'bucket', 'week'],
    ['/v1/analytics/revenue', 'currency', 'EURO'],
    ['/v1/analytics/funnel', 'to', '2026-01-01'],
    ['/v1/analytics/durations', 'bucket', 'hour'],
    ['/v1/analytics/products', 'limit', '0'],
    ['/v1/analytics/customers', 'currency', 'euro'],
    ['/v1/analytics/lag', 'after', '1.5'],
  ])('%s?%s=%s', async (path, parameter, value) => {
    expectProblem(await get(path, { [parameter]: value }), 400, 'invalid_request', { parameter });
  });

  it('a cursor of other filters', async () => {
    const customer = newCustomer();
    for (let n = 0; n < 2; n += 1) await placed(smallestOrder(customer));
    const { nextCursor: cursor } = (await get('/v1/orders', { customer, limit: '1' })).body;
    expect((await get('/v1/orders', { customer, cursor })).status).toBe(200);
    const other = await get('/v1/orders', { customer: newCustomer(), cursor });
    expectProblem(other, 400, 'invalid_request', { parameter: 'cursor' });
  });

  it('a range of revenue that is empty or too long', async () => {
    const [from, to] = ['2026-01-02T00:00:00Z', '2026-01-01T00:00:00Z'];
    const empty = await get('/v1/analytics/revenue', { from, to });
    expectProblem(empty, 400, 'invalid_request', { parameter: 'to' });
    const long = await get('/v1/analytics/revenue', { from: to, to: '2026-02-01T00:00:00Z' });
    expectProblem(long, 400, 'invalid_request', { parameter: 'from' });
  });
});

describe('a path or method that is not there', () => {
  it.each([
    ['GET', '/v1/nothing', 404, 'route_not_found'],
    ['PUT', '/v1/orders', 405, 'method_not_allowed'],
    ['GET', '/v1/orders/%zz', 400, 'malformed_request'],
  ])('%s %s', async (method, path, status, code) => {
    expectProblem(await call(method, path), status, code);
  });
});

// Whatever was written for one of the requests below would show: in the customer's list, in the history of the order, or
// in the sums of a currency that nobody else uses.
it('and none of all this has written an event', async () => {
  const last = await placed(good);
  const after = await summaryAfter(last.position);
  expect(placedAmount(after)).toBe(placedAmount(before) + 2500);
  expect(after.parked).toBe(before.parked);
  const list = await get('/v1/orders', { customer: customerId });
  expect(list.body.data.map(({ id }: { id: string }) => id)).toEqual([last.id, order.id]);
  expect((await get(`/v1/orders/${order.id}/events`)).body.data).toHaveLength(1);
});
