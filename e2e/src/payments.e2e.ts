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
