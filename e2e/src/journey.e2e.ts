import { randomUUID } from 'node:crypto';
import type { Order } from '@tandem/contracts/order';
import {
  call,
  counted,
  get,
  newCustomer,
  placed,
  post,
  rareCurrency,
  smallestOrder,
  summaryAfter,
} from './http.testing.ts';
import { giveBack, pay, placedAndPaid } from './paying.testing.ts';

type Sums = { currency: string; placedAmount: number; averageOrder: number };

const sumsOf = (summary: { revenue: Sums[] }, currency: string) =>
  summary.revenue.find((sums) => sums.currency === currency) ?? { placedAmount: 0, averageOrder: 0 };
const cancel = (id: string, json: unknown = {}, headers?: Record<string, string>) =>
  post(`/v1/orders/${id}/cancel`, json, headers);
const act = (id: string, action: string, json: unknown, headers?: Record<string, string>) =>
  post(`/v1/orders/${id}/${action}`, json, headers);

describe('an order', () => {
  const everything = (customerId: string) => ({
    ...smallestOrder(customerId),
    adjustments: [
      { kind: 'shipping', amount: 490 },
      { kind: 'discount', amount: -100 },
    ],
    expectedTotal: 2890,
    delivery: 'express',
    payment: { method: 'invoice' },
    reference: 'cart-77',
    metadata: { channel: 'app' },
  });

  it('is placed with all that it may say, read, told as events, cancelled', async () => {
    const customerId = newCustomer();
    const answer = await post('/v1/orders', everything(customerId));
    expect(answer.status).toBe(201);
    const order: Order = answer.body;
    const { expectedTotal: total, lines, ...said } = everything(customerId);
    expect(order).toEqual({
      ...said,
      id: expect.any(String),
      version: 1,
      status: 'placed',
      lines: lines.map((line) => ({ id: 1, ...line })),
      total,
      refundStatus: 'none',
      placedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      position: expect.any(Number),
    });
    expect(Math.abs(Date.parse(order.placedAt) - Date.now())).toBeLessThan(60_000);
    expect(answer.headers.get('location')).toBe(`/v1/orders/${order.id}`);
    expect(answer.headers.get('etag')).toBe('"1"');
    expect(answer.headers.get('idempotency-replayed')).toBeNull();

    const read = await get(`/v1/orders/${order.id}`);
    expect([read.status, read.body, read.headers.get('etag')]).toEqual([200, order, '"1"']);

    const cancelled = await cancel(order.id, { reason: 'Ordered twice' }, { 'if-match': '"1"' });
    expect(cancelled.status).toBe(200);
    expect(cancelled.headers.get('etag')).toBe('"2"');
    expect(cancelled.body).toEqual({
      ...order,
      status: 'cancelled',
      version: 2,
      position: expect.any(Number),
      cancellation: { cause: 'customer', reason: 'Ordered twice', at: expect.any(String) },
      refunds: [],
    });
    expect(cancelled.body.position).toBeGreaterThan(order.position);
    expect((await get(`/v1/orders/${order.id}`)).body).toEqual(cancelled.body);

    const events = await get(`/v1/orders/${order.id}/events`);
    expect(events.body).toEqual({
      data: [
        expect.objectContaining({ type: 'order.placed.v1', version: 1, orderId: order.id, position: order.position }),
        expect.objectContaining({ type: 'order.cancelled.v1', version: 2, position: cancelled.body.position }),
      ],
      nextCursor: null,
    });
    expect(events.body.data[0].data).toMatchObject({ customerId, total, metadata: { channel: 'app' } });
  });

  it('is paid, shipped in parts, delivered, refunded in parts, and tells all of it', async () => {
    const paid = await placedAndPaid(everything(newCustomer()));
    const { id } = paid;
    expect(paid).toMatchObject({ status: 'paid', version: 2, paid: { amount: 2890 }, shipments: [], refunds: [] });

    const post = { carrier: 'post', trackingCode: 'RR123456785AT' };
    const part = await act(id, 'ship', { ...post, lines: [{ id: 1, quantity: 1 }] }, { 'if-match': '"2"' });
    expect([part.status, part.headers.get('etag')]).toEqual([200, '"3"']);
    expect(part.body).toMatchObject({
      status: 'paid',
      shipments: [{ id: 1, ...post, lines: [{ id: 1, quantity: 1 }] }],
    });
    expect((await cancel(id)).body).toMatchObject({
      status: 409,
      code: 'order_shipped_in_part',
      order: { id, status: 'paid', version: 3 },
    });
    const rest = await act(id, 'ship', post);
    expect(rest.body).toMatchObject({ status: 'shipped', version: 4 });
    expect(rest.body.shipments[1].lines).toEqual([{ id: 1, quantity: 1 }]);

    const delivered = await call('POST', `/v1/orders/${id}/deliver`);
    expect([delivered.status, delivered.body.status]).toEqual([200, 'delivered']);
    expect(Math.abs(Date.parse(delivered.body.deliveredAt) - Date.now())).toBeLessThan(60_000);

    const lines = [{ id: 1, quantity: 1 }];
    const broken = await act(id, 'refund', { lines, reason: 'Arrived broken' });
    expect(broken.body.refunds).toMatchObject([{ id: 1, amount: 1445, lines, reason: 'Arrived broken' }]);
    const goodwill = await act(id, 'refund', { amount: 100 });
    expect(goodwill.body.refunds).toMatchObject([{ amount: 1445 }, { id: 2, amount: 100 }]);
    const all = await call('POST', `/v1/orders/${id}/refund`);
    expect(all.body.refunds).toMatchObject([{ amount: 1445 }, { amount: 100 }, { id: 3, amount: 1345 }]);

    const { data } = (await get(`/v1/orders/${id}/events`)).body;
    const types = data.map(({ type }: { type: string }) => type);
    expect(types.filter((type: string) => type !== 'order.refund-recorded.v1')).toEqual([
      'order.placed.v1',
      'order.payment-recorded.v1',
      'order.shipped.v1',
      'order.shipped.v1',
      'order.delivered.v1',
      'order.refund-requested.v1',
      'order.refund-requested.v1',
      'order.refund-requested.v1',
    ]);
  });

  it('with a discount comes back whole by its lines, and what was refunded is not shipped', async () => {
    const paid = await placedAndPaid({
      ...smallestOrder(newCustomer()),
      lines: [
        { sku: 'A-1', quantity: 3, unitPrice: 100 },
        { sku: 'B-2', quantity: 1, unitPrice: 1000 },
      ],
      adjustments: [{ kind: 'discount', amount: -50 }],
    });
    const refund = (line: number, quantity: number) => act(paid.id, 'refund', { lines: [{ id: line, quantity }] });
    const ship = { carrier: 'post', trackingCode: 'RR123456785AT' };
    expect((await refund(1, 2)).body.refunds).toMatchObject([{ amount: 192 }]);
    expect((await act(paid.id, 'ship', { ...ship, lines: [{ id: 1, quantity: 2 }] })).body).toMatchObject({
      status: 422,
      code: 'line_exceeded',
      remaining: 1,
    });
    expect((await refund(1, 1)).body.refunds).toMatchObject([{ amount: 192 }, { amount: 96 }]);
    expect((await refund(2, 1)).body.refunds).toMatchObject([{ amount: 192 }, { amount: 96 }, { amount: 962 }]);
    expect((await act(paid.id, 'ship', ship)).body).toMatchObject({ status: 409, code: 'nothing_to_ship' });
    expect(await giveBack((await get(`/v1/orders/${paid.id}`)).body)).toMatchObject({
      status: 'paid',
      refundStatus: 'full',
    });
  });

  it('takes so many shipments and no more, and what is reported all the same', async () => {
    const lines = [{ sku: 'A-1', quantity: 1_000, unitPrice: 1 }];
    const { id } = await placedAndPaid({ ...smallestOrder(newCustomer()), lines });
    expect((await act(id, 'refund', { amount: 1 })).status).toBe(200);
    const ship = { carrier: 'post', trackingCode: 'RR1', lines: [{ id: 1, quantity: 1 }] };
    const statuses = new Map<number, number>();
    for (let left = 500; left > 0; left -= 50)
      for (const { status } of await Promise.all(Array.from({ length: 50 }, () => act(id, 'ship', ship))))
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
    expect([...statuses]).toEqual([
      [200, 497],
      [409, 3],
    ]);
    expect((await act(id, 'ship', ship)).body).toMatchObject({ code: 'too_many_events', order: { version: 500 } });
    const order: Order = (await get(`/v1/orders/${id}`)).body;
    expect(await giveBack(order)).toMatchObject({ version: 501, refundStatus: 'partial' });
    const { lines: _, ...rest } = ship;
    expect((await act(id, 'ship', rest)).body).toMatchObject({ status: 'shipped', version: 502 });
    expect((await act(id, 'refund', {})).body).toMatchObject({ refunds: [{ amount: 1 }, { amount: 999 }] });
  });

  it('that was paid is refunded when it is cancelled, and stays cancelled when its payment comes late', async () => {
    const paid = await placedAndPaid(smallestOrder(newCustomer()));
    const cancelled = await cancel(paid.id);
    expect(cancelled.body).toMatchObject({ status: 'cancelled', paid: { amount: 2500 }, refunds: [{ amount: 2500 }] });

    const order = await placed(smallestOrder(newCustomer()));
    expect((await cancel(order.id)).status).toBe(200);
    expect(await pay(order)).toMatchObject({
      status: 'cancelled',
      paid: { amount: 2500 },
      refunds: [{ amount: 2500 }],
    });
  });

  it('is refused what its state does not allow, with that state', async () => {
    const ship = { carrier: 'post', trackingCode: 'RR1' };
    const paid = await placedAndPaid(smallestOrder(newCustomer()));
    const order = { id: paid.id, status: 'paid', version: 2 };
    const refusals: [string, unknown, number, object][] = [
      ['deliver', {}, 409, { code: 'order_not_ready' }],
      ['ship', { ...ship, lines: [{ id: 9, quantity: 1 }] }, 422, { code: 'line_unknown' }],
      ['ship', { ...ship, lines: [{ id: 1, quantity: 3 }] }, 422, { code: 'line_exceeded', remaining: 2 }],
      ['refund', { amount: 2501 }, 422, { code: 'refund_exceeded', remaining: 2500 }],
      ['refund', { lines: [{ id: 1, quantity: 3 }] }, 422, { code: 'line_exceeded', remaining: 2 }],
    ];
    for (const [action, body, status, problem] of refusals) {
      const answer = await act(paid.id, action, body);
      expect([answer.status, answer.headers.get('etag')]).toEqual([status, '"2"']);
      expect(answer.body).toMatchObject({ ...problem, order });
      expect(answer.body.detail).toContain('paid');
    }
    for (const [action, body] of [
      ['ship', ship],
      ['deliver', {}],
      ['refund', {}],
    ] as const) {
      const stale = await act(paid.id, action, body, { 'if-match': '"1"' });
      expect([stale.status, stale.headers.get('etag')]).toEqual([412, '"2"']);
    }
    expect((await cancel(paid.id)).status).toBe(200);
    for (const [action, body] of [
      ['ship', ship],
      ['deliver', {}],
      ['refund', {}],
      ['cancel', {}],
    ] as const)
      expect((await act(paid.id, action, body)).body).toMatchObject({
        status: 409,
        code: 'order_closed',
        order: { id: paid.id, status: 'cancelled' },
      });
  });

  it('is shipped once by two that ship it at once, and a repeat of either gets its answer', async () => {
    const { id } = await placedAndPaid(smallestOrder(newCustomer()));
    const keys = [randomUUID(), randomUUID()];
    const ship = (key: string) => act(id, 'ship', { carrier: 'post', trackingCode: 'RR1' }, { 'idempotency-key': key });
    const answers = await Promise.all(keys.map(ship));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    for (const [index, answer] of answers.entries()) {
      const again = await ship(keys[index] ?? '');
      expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([answer.status, 'true']);
    }
    expect((await get(`/v1/orders/${id}`)).body.shipments).toHaveLength(1);
  });

  it('is known by its ETag: 304 while it is the same, 412 when it has moved on', async () => {
    const { id } = await placed(smallestOrder(newCustomer()));
    const same = await get(`/v1/orders/${id}`, {}, { 'if-none-match': '"1"' });
    expect([same.status, same.text, same.headers.get('etag')]).toEqual([304, '', '"1"']);

    const stale = await cancel(id, {}, { 'if-match': '"2"' });
    expect([stale.status, stale.headers.get('etag')]).toEqual([412, '"1"']);
    expect(stale.body).toMatchObject({ code: 'version_mismatch', order: { id, status: 'placed', version: 1 } });

    const unmet: Record<string, string>[] = [
      { 'if-match': '"0"' },
      { 'if-match': '"abc"' },
      { 'if-match': 'W/"2", "3"' },
      { 'if-none-match': '*' },
      { 'if-none-match': '"7", "1"' },
    ];
    for (const headers of unmet) {
      const answer = await cancel(id, {}, headers);
      expect([answer.status, answer.body.code, answer.headers.get('etag')]).toEqual([412, 'version_mismatch', '"1"']);
    }
    const read = await get(`/v1/orders/${id}`, {}, { 'if-match': '"2"', 'if-none-match': '"1"' });
    expect([read.status, read.body.code, read.headers.get('etag')]).toEqual([412, 'version_mismatch', '"1"']);
    expect((await get(`/v1/orders/${id}`, {}, { 'if-match': 'W/"1"' })).status).toBe(200);

    const listed = { 'if-match': '"abc", W/"1"', 'if-none-match': '"2"' };
    expect((await cancel(id, {}, listed)).status).toBe(200);
    expect((await cancel(id, {}, { 'if-match': '*' })).body.code).toBe('order_closed');
    expect((await get(`/v1/orders/${id}`, {}, { 'if-none-match': '"1"' })).status).toBe(200);
  });

  it('is cancelled by an empty body as by {}, with a content type and without', async () => {
    for (const headers of [{}, { 'content-type': 'application/json' }] as Record<string, string>[]) {
      const { id } = await placed(smallestOrder(newCustomer()));
      const answer = await call('POST', `/v1/orders/${id}/cancel`, { headers });
      expect([answer.status, answer.body.status]).toEqual([200, 'cancelled']);
    }
  });

  it('is refused when its total is not the expected one, or its reference is taken', async () => {
    const customerId = newCustomer();
    const wrong = await post('/v1/orders', { ...smallestOrder(customerId), expectedTotal: 2499 });
    expect(wrong.status).toBe(400);
    expect(wrong.body).toMatchObject({ code: 'total_mismatch', total: 2500, errors: [{ pointer: '/expectedTotal' }] });

    const first = await placed({ ...smallestOrder(customerId), reference: 'cart-1' });
    const second = await post('/v1/orders', { ...smallestOrder(customerId), reference: 'cart-1' });
    expect(second.status).toBe(409);
    expect(second.body).toMatchObject({ code: 'reference_taken', order: { id: first.id } });
    await placed({ ...smallestOrder(newCustomer()), reference: 'cart-1' });
  });
});

describe('lists', () => {
  it('are newest first, page by page, with every order on exactly one page', async () => {
    const customer = newCustomer();
    const ids: string[] = [];
    for (let n = 1; n <= 7; n += 1) {
      const order = await placed({ ...smallestOrder(customer), ...(n === 3 && { reference: 'third' }) });
      ids.unshift(order.id);
      if (n % 3 === 0) expect((await cancel(order.id)).status).toBe(200);
    }
    const seen: string[] = [];
    const sizes: number[] = [];
    for (let cursor: string | undefined, pages = 0; pages < 10; pages += 1) {
      const page = await get('/v1/orders', { customer, limit: '3', ...(cursor !== undefined && { cursor }) });
      expect(page.status).toBe(200);
      seen.push(...page.body.data.map(({ id }: Order) => id));
      sizes.push(page.body.data.length);
      cursor = page.body.nextCursor ?? undefined;
      if (cursor === undefined) break;
    }
    expect(seen).toEqual(ids);
    expect(sizes).toEqual([3, 3, 1]);

    const idsOf = async (query: Record<string, string>) =>
      (await get('/v1/orders', { customer, ...query })).body.data.map(({ id }: Order) => id);
    expect(await idsOf({ status: 'cancelled' })).toEqual([ids[1], ids[4]]);
    expect(await idsOf({ status: 'placed' })).toEqual([ids[0], ids[2], ids[3], ids[5], ids[6]]);
    expect(await idsOf({ reference: 'third' })).toEqual([ids[4]]);
    expect(await idsOf({ reference: 'third', status: 'placed' })).toEqual([]);
  });

  it('are of one currency, or of one time, which its beginning belongs to and its end does not', async () => {
    const customer = newCustomer();
    const orders: Order[] = [];
    for (const currency of ['EUR', 'JPY', 'EUR', 'JPY']) orders.push(await placed(smallestOrder(customer, currency)));
    const [one, two, three, four] = orders as [Order, Order, Order, Order];
    const idsOf = async (query: Record<string, string>) =>
      (await get('/v1/orders', { customer, ...query })).body.data.map(({ id }: Order) => id);
    expect(await idsOf({ currency: 'JPY' })).toEqual([four.id, two.id]);
    expect(await idsOf({ currency: 'CHF' })).toEqual([]);
    expect(await idsOf({ placedFrom: one.placedAt, placedBefore: three.placedAt })).toEqual([two.id, one.id]);
    expect(await idsOf({ placedFrom: three.placedAt, placedBefore: four.placedAt })).toEqual([three.id]);
    expect(await idsOf({ placedFrom: one.placedAt, currency: 'EUR' })).toEqual([three.id, one.id]);
    // The older name excludes its own time.
    expect(await idsOf({ placedAfter: one.placedAt, placedBefore: four.placedAt })).toEqual([three.id, two.id]);
    // The same instant in another zone.
    const there = new Date(Date.parse(three.placedAt) + 7_200_000).toISOString().replace('Z', '+02:00');
    expect(await idsOf({ placedBefore: there })).toEqual([two.id, one.id]);
    const ranged = { customer, currency: 'EUR', placedFrom: one.placedAt, limit: '1' };
    const { nextCursor: cursor } = (await get('/v1/orders', ranged)).body;
    for (const changed of [{ currency: 'JPY' }, { placedFrom: three.placedAt }]) {
      const other = await get('/v1/orders', { ...ranged, ...changed, cursor });
      expect([other.status, other.body.code]).toEqual([400, 'invalid_request']);
    }
    expect((await get('/v1/orders', { ...ranged, cursor })).body.data.map(({ id }: Order) => id)).toEqual([one.id]);
  });

  it("of an order's events page, too", async () => {
    const { id } = await placed(smallestOrder(newCustomer()));
    await cancel(id);
    const first = await get(`/v1/orders/${id}/events`, { limit: '1' });
    expect(first.body.data.map(({ version }: { version: number }) => version)).toEqual([1]);
    const second = await get(`/v1/orders/${id}/events`, { limit: '1', cursor: first.body.nextCursor });
    expect(second.body.data.map(({ version }: { version: number }) => version)).toEqual([2]);
    expect(second.body.nextCursor).toBeNull();
  });
});

describe('the count', () => {
  it('moves by exactly what was done', async () => {
    const [customerId, currency] = [newCustomer(), rareCurrency()];
    const first = await placed(smallestOrder(customerId, currency));
    const before = await summaryAfter(first.position);
    const minute = (time: string) => `${time.slice(0, 16)}:00.000Z`;
    const revenue = async (after: number) =>
      counted(() =>
        get('/v1/analytics/revenue', {
          currency,
          from: minute(first.placedAt),
          to: new Date(Date.now() + 60_000).toISOString(),
          after: String(after),
        }),
      );
    const sum = (buckets: { placed: number; placedAmount: number }[]) =>
      buckets.reduce((all, { placed, placedAmount }) => ({ n: all.n + placed, amount: all.amount + placedAmount }), {
        n: 0,
        amount: 0,
      });
    const beforeByMinute = sum((await revenue(first.position)).data);

    const orders: Order[] = [];
    for (const unitPrice of [100, 2_000, 30_000])
      orders.push(
        await placed({ ...smallestOrder(customerId, currency), lines: [{ sku: 'B', quantity: 3, unitPrice }] }),
      );
    const cancelled = await cancel(orders[1]?.id ?? '');
    expect(cancelled.status).toBe(200);

    const after = await summaryAfter(cancelled.body.position);
    const [was, is] = [sumsOf(before, currency), sumsOf(after, currency)];
    expect(is.placedAmount - was.placedAmount).toBe(96_300);
    // The average tells how many orders the sum is of.
    const ordersBefore = Math.round(was.placedAmount / was.averageOrder);
    expect(Math.round(is.placedAmount / is.averageOrder)).toBe(ordersBefore + 3);
    const byMinute = sum((await revenue(cancelled.body.position)).data);
    expect(byMinute).toEqual({ n: beforeByMinute.n + 3, amount: beforeByMinute.amount + 96_300 });

    const moved = {
      placed: after.orders.placed - before.orders.placed,
      cancelled: after.orders.cancelled - before.orders.cancelled,
    };
    expect(after.position).toBeGreaterThanOrEqual(cancelled.body.position);
    // Others may use the system meanwhile; their events show in the positions.
    if (after.position - before.position === 4) expect(moved).toEqual({ placed: 3, cancelled: 1 });
    expect(moved.placed).toBeGreaterThanOrEqual(3);
    expect(moved.cancelled).toBeGreaterThanOrEqual(1);
    expect(after.parked).toBe(before.parked);
  });

  it('says by every query what three orders were, did and cost, to the minor unit', async () => {
    const [customerId, currency] = [newCustomer(), rareCurrency()];
    const [often, rarely] = [`often-${randomUUID()}`, `rarely-${randomUUID()}`];
    const body = (...lines: [sku: string, quantity: number, unitPrice: number][]) => ({
      customerId,
      currency,
      lines: lines.map(([sku, quantity, unitPrice]) => ({ sku, quantity, unitPrice })),
    });
    const delivered = await placed({
      ...body([often, 2, 1_250]),
      adjustments: [{ kind: 'shipping', amount: 490 }],
    });
    const range = { from: delivered.placedAt, to: new Date(Date.now() + 3_600_000).toISOString() };
    const query = async (name: string, position: number, more: Record<string, string> = {}) =>
      counted(() => get(`/v1/analytics/${name}`, { after: String(position), ...more }));
    const everything = async (position: number) => {
      const [summary, funnel, durations, ...revenue] = await Promise.all([
        query('summary', position),
        query('funnel', position, range),
        query('durations', position, range),
        ...['minute', 'hour', 'day'].map((bucket) => query('revenue', position, { ...range, bucket, currency })),
      ]);
      return { summary, funnel, durations, revenue };
    };
    const before = await everything(delivered.position);

    await pay(delivered);
    await act(delivered.id, 'ship', { carrier: 'post', trackingCode: 'RR1' });
    await call('POST', `/v1/orders/${delivered.id}/deliver`);
    const refunded = await placedAndPaid(body([often, 1, 1_250], [rarely, 3, 100]));
    const { body: owed } = await act(refunded.id, 'refund', { amount: 550 });
    await giveBack(owed);
    const cancelled = await placed(body([rarely, 1, 100]));
    const { position } = (await cancel(cancelled.id, { reason: 'Ordered twice' })).body;
    // Of the first: paid, shipped, delivered. Of the second: placed, paid, a refund asked for and made. Of the third: two.
    const happened = 9;
    const after = await everything(position);

    // Of the customer and of the products nobody else has anything.
    const ofMine = async (name: string, mine: (row: Record<string, unknown>) => boolean) =>
      (await query(name, position, { ...range, currency, limit: '100' })).data.filter(mine);
    expect(await ofMine('products', ({ sku }) => sku === often || sku === rarely)).toEqual([
      { currency, sku: often, orders: 2, quantity: 3, amount: 3_750 },
      { currency, sku: rarely, orders: 2, quantity: 4, amount: 400 },
    ]);
    expect(await ofMine('customers', (row) => row['customerId'] === customerId)).toEqual([
      { currency, customerId, orders: 3, amount: 4_640 },
    ]);

    // Of the rest, what has been added since the first was placed.
    const sums = (rows: Record<string, unknown>[], names: string[]) =>
      names.map((name) => rows.reduce((sum, row) => sum + Number(row[name] ?? 0), 0));
    const added = (is: Record<string, unknown>[], was: Record<string, unknown>[], names: string[]) => {
      const base = sums(was, names);
      return Object.fromEntries(sums(is, names).map((sum, index) => [names[index], sum - (base[index] ?? 0)]));
    };
    const money = { placed: 2, placedAmount: 1_650, gross: 4_540, refunded: 550, net: 3_990 };
    for (const [index, { data }] of after.revenue.entries())
      expect(added(data, before.revenue[index]?.data, Object.keys(money))).toEqual(money);
    const refunds = { requested: 1, requestedAmount: 550, recorded: 1, recordedAmount: 550 };
    const inCurrency = (rows: { currency: string }[]) => rows.filter((row) => row.currency === currency);
    expect(added(inCurrency(after.summary.refunds), inCurrency(before.summary.refunds), Object.keys(refunds))).toEqual(
      refunds,
    );

    // All customers are counted together here; the positions tell whether there was anybody else.
    const steps = { placed: 2, paid: 2, shipped: 1, delivered: 1, cancelled: 1 };
    const reached = added([after.funnel.orders], [before.funnel.orders], Object.keys(steps));
    const causes = (funnel: typeof after.funnel) =>
      sums(
        funnel.cancellations.causes.filter(({ cause }: { cause: string }) => cause === 'customer'),
        ['orders'],
      )[0] ?? 0;
    const measured = [after, before].map(({ durations: { toPay, toShip } }) => [toPay.orders, toShip.orders]);
    const [toPay, toShip] = [0, 1].map((step) => (measured[0]?.[step] ?? 0) - (measured[1]?.[step] ?? 0));
    if (after.summary.position - before.summary.position === happened) {
      expect(reached).toEqual(steps);
      expect(causes(after.funnel) - causes(before.funnel)).toBe(1);
      expect([toPay, toShip]).toEqual([2, 1]);
    }
    for (const [step, orders] of Object.entries(steps)) expect(reached[step]).toBeGreaterThanOrEqual(orders);
    expect(toPay).toBeGreaterThanOrEqual(2);
    expect(toShip).toBeGreaterThanOrEqual(1);
    for (const { minMs, p50Ms, p95Ms, p99Ms, maxMs } of [after.durations.toPay, after.durations.toShip])
      expect([minMs, p50Ms, p95Ms, p99Ms, maxMs]).toEqual([minMs, p50Ms, p95Ms, p99Ms, maxMs].sort((a, b) => a - b));
    const lag = await query('lag', position);
    expect(lag.position).toBeGreaterThanOrEqual(position);
    const partitions = lag.partitions.map(({ partition }: { partition: number }) => partition);
    expect(partitions).toEqual([...partitions.keys()]);
    expect(partitions).not.toEqual([]);
  });

  it('refuses at once to wait for a position that no event has yet, and names the newest', async () => {
    const { position } = await placed(smallestOrder(newCustomer()));
    const queries = ['summary', 'revenue', 'funnel', 'durations', 'products', 'customers', 'lag'];
    const after = String(position + 1_000_000_000);
    const answers = await Promise.all(queries.map((name) => get(`/v1/analytics/${name}`, { after })));
    for (const [index, { status, body }] of answers.entries()) {
      expect([queries[index], status]).toEqual([queries[index], 400]);
      const detail = expect.stringMatching(/^is a position that no event has yet: the newest is \d+$/);
      expect(body).toMatchObject({ code: 'invalid_request', errors: [{ parameter: 'after', detail }] });
    }
  });
});

describe('repeating', () => {
  it('200 parallel placements with 50 keys place 50 orders', async () => {
    const customer = newCustomer();
    const run = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const key = `${run}-${n % 50}`;
        const answer = await post('/v1/orders', smallestOrder(customer), { 'idempotency-key': key });
        return {
          key,
          status: answer.status,
          id: answer.body?.id,
          replayed: answer.headers.get('idempotency-replayed'),
        };
      }),
    );
    expect(answers.filter(({ status }) => status !== 201)).toEqual([]);
    const byKey = Map.groupBy(answers, ({ key }) => key);
    expect(byKey.size).toBe(50);
    for (const repeats of byKey.values()) {
      expect(new Set(repeats.map(({ id }) => id)).size).toBe(1);
      expect(repeats.map(({ replayed }) => replayed).sort()).toEqual([null, 'true', 'true', 'true'].sort());
    }
    const page = await get('/v1/orders', { customer, limit: '100' });
    expect(page.body.nextCursor).toBeNull();
    expect(page.body.data.map(({ id }: Order) => id).sort()).toEqual([...new Set(answers.map(({ id }) => id))].sort());
  });

  it('two cancellations racing on one order: one 200, one 409 that holds the state', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { id } = await placed(smallestOrder(newCustomer()));
      const answers = await Promise.all([cancel(id), cancel(id)]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
      const refused = answers.find(({ status }) => status === 409);
      expect(refused?.body).toMatchObject({ code: 'order_closed', order: { id, status: 'cancelled', version: 2 } });
      expect((await get(`/v1/orders/${id}/events`)).body.data).toHaveLength(2);
    }
  });

  it('a repeat gets the first answer, whatever has happened since', async () => {
    const key = { 'idempotency-key': `"${randomUUID()}"` };
    const body = smallestOrder(newCustomer());
    const first = await post('/v1/orders', body, key);
    await cancel(first.body.id);
    const again = await post('/v1/orders', Object.fromEntries(Object.entries(body).reverse()), key);
    expect([again.status, again.body]).toEqual([201, first.body]);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.headers.get('location')).toBe(`/v1/orders/${first.body.id}`);

    const another = await post('/v1/orders', { ...body, delivery: 'express' }, key);
    expect([another.status, another.body.code]).toEqual([422, 'key_reused']);
  });

  it('a refusal is repeated, too, and a key belongs to one order and operation', async () => {
    const key = { 'idempotency-key': randomUUID() };
    const [one, two] = [await placed(smallestOrder(newCustomer())), await placed(smallestOrder(newCustomer()), key)];
    const first = await cancel(one.id, {}, { ...key, 'if-match': '"9"' });
    expect([first.status, first.headers.get('idempotency-replayed')]).toEqual([412, null]);
    const again = await cancel(one.id, {}, { ...key, 'if-match': '"9"' });
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([412, 'true']);
    expect((await cancel(two.id, {}, key)).status).toBe(200);
  });

  it('the key of an answer repeats a request that came without one', async () => {
    const body = smallestOrder(newCustomer());
    const first = await post('/v1/orders', body);
    const key = first.headers.get('idempotency-key') ?? '';
    expect(key).not.toBe('');
    const again = await post('/v1/orders', body, { 'idempotency-key': key });
    expect([again.status, again.body.id]).toEqual([201, first.body.id]);
  });
});
