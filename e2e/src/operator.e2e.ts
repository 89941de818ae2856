import { call, get, newCustomer, placed, post, smallestOrder } from './http.testing.ts';
import { until } from './faults/waiting.testing.ts';

const turn = (paused: boolean, headers?: Record<string, string>) =>
  post('/v1/admin/intake', { paused, reason: 'The stock is counted' }, headers);
const place = () => post('/v1/orders', smallestOrder(newCustomer()));
/** Whether every gateway answers so; several answer in turn, and each hears of the switch in its own time. */
const allAnswer = async (status: number) => {
  for (let turn = 0; turn < 4; turn += 1) if ((await place()).status !== status) return false;
  return true;
};

// Whatever becomes of a test, the system takes orders after it.
afterEach(async () => {
  expect((await turn(false)).status).toBe(200);
  await until('orders are taken', () => allAnswer(201));
});

describe('the switch of the operator', () => {
  it('stops new orders and nothing else, and starts them again', async () => {
    const order = await placed(smallestOrder(newCustomer()));
    const turned = await turn(true);
    expect([turned.status, turned.body]).toEqual([
      200,
      { paused: true, reason: 'The stock is counted', revision: expect.any(Number), since: expect.any(String) },
    ]);
    await until('orders are refused', () => allAnswer(503));
    const refused = await place();
    expect(refused.body).toMatchObject({ code: 'intake_paused', status: 503, retryable: true });
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect((await get('/v1/admin/intake')).body).toEqual(turned.body);
    expect((await get(`/v1/orders/${order.id}`)).status).toBe(200);
    expect((await call('POST', `/v1/orders/${order.id}/cancel`)).status).toBe(200);
  });

  it('answers a repeat as the first, and turns nothing back by it', async () => {
    const key = { 'idempotency-key': `pause-${newCustomer()}` };
    const first = await turn(true, key);
    expect((await turn(false)).status).toBe(200);
    const again = await turn(true, key);
    expect([again.status, again.body, again.headers.get('idempotency-replayed')]).toEqual([200, first.body, 'true']);
    expect((await get('/v1/admin/intake')).body.paused).toBe(false);
  });

  it.each<[string, object]>([
    ['/paused', {}],
    ['/paused', { paused: 'yes' }],
    ['/reason', { paused: false, reason: '' }],
    ['/because', { paused: false, because: 'x' }],
  ])('is not turned by a body that breaks its contract at %s', async (pointer, body) => {
    const answer = await post('/v1/admin/intake', body);
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([400, pointer]);
  });
});
