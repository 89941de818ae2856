import type { Order } from '@tandem/contracts/order';
import { topology } from '@tandem/contracts/topology';
import { tellProvider } from '@tandem/tools/provider.mjs';
import { until } from './faults/waiting.testing.ts';
import { get, newCustomer, placed, post, smallestOrder } from './http.testing.ts';
import { checkQueues } from './queues.testing.ts';

const { queues } = topology(process.env['NAMESPACE'] ?? '');

const read = async (id: string): Promise<Order> => (await get(`/v1/orders/${id}`)).body as Order;
/** Orders of other tests wait for their payment before these. */
const WAIT = { timeoutMs: 60_000, everyMs: 100 };

async function untilStatus(id: string, status: Order['status']): Promise<Order> {
  await until(`${id} is ${status}`, async () => (await read(id)).status === status, WAIT);
  return read(id);
}

beforeEach(() => tellProvider('approve'));
afterAll(() => tellProvider('fail'));

describe('an order', () => {
  it('becomes paid by itself, by card or by invoice, and what was paid goes back when it is cancelled', async () => {
    for (const method of ['card', 'invoice']) {
      const order = await placed({ ...smallestOrder(newCustomer()), delivery: 'express', payment: { method } });
      const paid = await untilStatus(order.id, 'paid');
      expect(paid).toMatchObject({ version: 2, paid: { amount: 2_500, paymentId: expect.any(String) } });
      expect((await post(`/v1/orders/${order.id}/cancel`, {})).status).toBe(200);
      const refunded = async () => {
        const now = await read(order.id);
        return now.status === 'cancelled' && now.refunds.every(({ recordedAt }) => recordedAt !== undefined);
      };
      await until('it is refunded', refunded, WAIT);
      expect(await read(order.id)).toMatchObject({ refunds: [{ id: 1, amount: 2_500 }] });
    }
  });

  it('whose payment is declined is cancelled', async () => {
    // Until every order before it has its answer: the provider declines whatever it is asked for.
    await untilStatus((await placed(smallestOrder(newCustomer()))).id, 'paid');
    await tellProvider('decline');
    const order = await placed({ ...smallestOrder(newCustomer()), delivery: 'express' });
    expect(await untilStatus(order.id, 'cancelled')).toMatchObject({ cancellation: { cause: 'declined' } });
  });

  it('whose refund the provider declines is refunded when that is asked for again', async () => {
    const customer = newCustomer();
    const { id } = await untilStatus((await placed({ ...smallestOrder(customer), delivery: 'express' })).id, 'paid');
    await declineRefund(id);
    expect((await post(`/v1/orders/${id}/cancel`, {})).status).toBe(200);
    expect(await untilRefund(id, 1, 'declined')).toMatchObject({
      status: 'cancelled',
      refundStatus: 'none',
      refunds: [{ id: 1, amount: 2_500, declined: { reason: 'insufficient funds' } }],
    });
    expect((await post(`/v1/orders/${id}/refund`, {})).body).toMatchObject({
      refunds: [{ id: 1 }, { id: 2, amount: 2_500 }],
    });
    expect(await untilRefund(id, 2, 'recordedAt')).toMatchObject({ status: 'cancelled', refundStatus: 'full' });
    for (const [refundStatus, ids] of Object.entries({ none: [], partial: [], full: [id] })) {
      const { body } = await get('/v1/orders', { customer, refundStatus });
      expect([refundStatus, body.data.map((order: Order) => order.id)]).toEqual([refundStatus, ids]);
    }
    expect((await post(`/v1/orders/${id}/refund`, {})).body).toMatchObject({ status: 409, code: 'order_closed' });
  });

  it('whose refund the provider declines keeps that amount when the refund is closed by hand', async () => {
    const order = await placed({ ...smallestOrder(newCustomer()), delivery: 'express' });
    const { id } = await untilStatus(order.id, 'paid');
    await declineRefund(id);
    expect((await post(`/v1/orders/${id}/refund`, { amount: 1_000 })).status).toBe(200);
    await untilRefund(id, 1, 'declined');
    const close = () => post(`/v1/orders/${id}/refunds/1/close`, { reason: 'Paid by bank transfer' });
    expect((await close()).body).toMatchObject({
      status: 'paid',
      refunds: [{ id: 1, amount: 1_000, declined: {}, closed: { reason: 'Paid by bank transfer' } }],
    });
    expect((await close()).body).toMatchObject({ status: 409, code: 'refund_settled' });
    expect((await post(`/v1/orders/${id}/refund`, { amount: 1_501 })).body).toMatchObject({
      code: 'refund_exceeded',
      remaining: 1_500,
    });
  });

  it('that costs nothing is paid with its placing, though the provider is away', async () => {
    await tellProvider('fail');
    const free = { ...smallestOrder(newCustomer()), adjustments: [{ kind: 'discount', amount: -2_500 }] };
    expect(await placed(free)).toMatchObject({ status: 'paid', version: 2, total: 0, paid: { amount: 0 } });
  });

  it('that is express is paid before a backlog of standard ones that were placed before it', async () => {
    const customerId = newCustomer();
    await tellProvider('fail');
    await untilNobodyTakesJobs();
    const backlog: Order[] = [];
    for (let left = 200; left > 0; left -= 50)
      backlog.push(...(await Promise.all(Array.from({ length: 50 }, () => placed(smallestOrder(customerId))))));
    const express = await placed({ ...smallestOrder(newCustomer()), delivery: 'express' });
    const expressJobs = async () => (await checkQueues([queues.paymentsCardExpress]))[0]?.messages ?? 0;
    await until('its job waits', async () => (await expressJobs()) > 0, WAIT);
    await tellProvider('approve');
    const { position } = await untilStatus(express.id, 'paid');
    const paid: Order[] = [];
    for (const { id } of backlog) paid.push(await untilStatus(id, 'paid'));
    // By the log: what was paid later stands behind it.
    expect(paid.filter((order) => order.position > position).length).toBeGreaterThan(backlog.length / 2);
  });
});

/** Has the provider decline the first refund of an order, and that alone. */
const declineRefund = (id: string) => tellProvider('decline', { only: 'POST', reference: `${id}:refund:1` });

/** The order once one of its refunds has come to that. */
async function untilRefund(id: string, refundId: number, what: 'declined' | 'recordedAt'): Promise<Order> {
  const has = (order: Order) =>
    'refunds' in order && order.refunds.some((refund) => refund.id === refundId && refund[what] !== undefined);
  await until(`refund ${refundId} of ${id} is ${what}`, async () => has(await read(id)), WAIT);
  return read(id);
}

/** Workers leave their queues alone while the provider fails, which the first jobs have to find out. */
const untilNobodyTakesJobs = () =>
  until(
    'the queues have no consumers',
    async () => {
      await placed(smallestOrder(newCustomer()));
      return (await checkQueues([queues.paymentsCard, queues.paymentsCardExpress])).every((one) => one.consumers === 0);
    },
    { ...WAIT, everyMs: 250 },
  );
