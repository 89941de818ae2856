import { Rejection } from '@tandem/contracts/rejections';
import { invalidRequest, Problem, PROBLEMS, ProblemError, refused, retryAfter, type ProblemCode } from './problem.ts';

const ORDER_ID = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';

describe('problem documents', () => {
  it.each(Object.keys(PROBLEMS) as ProblemCode[])('of %s hold to their schema', (code) => {
    const problem = new ProblemError(code, 'Because').toProblem('r-1');
    expect(Problem.parse(problem)).toEqual(problem);
    expect(problem).toMatchObject({ code, status: PROBLEMS[code].status, requestId: 'r-1', detail: 'Because' });
    expect(problem.type).toBe(`/problems/${code.replaceAll('_', '-')}`);
  });

  it('never carry what caused them', () => {
    const problem = new ProblemError('internal', 'Failed', { cause: new Error('password=secret') });
    expect(JSON.stringify(problem.toProblem('r-1'))).not.toContain('secret');
  });

  it('say in their detail where the request is wrong first, and how many more there are', () => {
    expect(invalidRequest([{ pointer: '/lines', detail: 'is required' }]).message).toBe('/lines is required');
    const two = [
      { parameter: 'limit', detail: 'must be at most 100' },
      { parameter: 'x', detail: 'is not a parameter of this request' },
    ];
    expect(invalidRequest(two).message).toBe('limit must be at most 100, and 1 more');
  });

  it('ask to wait for a second at least', () => {
    expect(retryAfter(0)).toEqual({ 'retry-after': '1' });
    expect(retryAfter(1_001)).toEqual({ 'retry-after': '2' });
  });
});

describe('refusals of orders', () => {
  const REJECTIONS: Record<Rejection['code'], [Rejection, number]> = {
    order_not_found: [{ code: 'order_not_found', orderId: ORDER_ID }, 404],
    order_closed: [{ code: 'order_closed', status: 'cancelled', version: 2 }, 409],
    order_shipped_in_part: [{ code: 'order_shipped_in_part', status: 'paid', version: 3 }, 409],
    order_not_ready: [{ code: 'order_not_ready', status: 'placed', version: 1 }, 409],
    line_unknown: [{ code: 'line_unknown', status: 'paid', version: 2, lineId: 9 }, 422],
    line_exceeded: [{ code: 'line_exceeded', status: 'paid', version: 2, lineId: 1, remaining: 1 }, 422],
    refund_exceeded: [{ code: 'refund_exceeded', status: 'paid', version: 2, remaining: 100 }, 422],
    nothing_to_refund: [{ code: 'nothing_to_refund', status: 'paid', version: 3 }, 409],
    payment_mismatch: [{ code: 'payment_mismatch', status: 'placed', version: 1, total: 2990, currency: 'EUR' }, 422],
    already_paid: [{ code: 'already_paid', status: 'paid', version: 2, paymentId: 'p-1' }, 409],
    refund_unknown: [{ code: 'refund_unknown', status: 'paid', version: 2, refundId: 1 }, 422],
    total_too_large: [{ code: 'total_too_large', total: 2990, totalMax: 2000 }, 400],
    nothing_to_ship: [{ code: 'nothing_to_ship', status: 'paid', version: 4 }, 409],
    too_many_events: [{ code: 'too_many_events', status: 'paid', version: 500, eventsMax: 500 }, 409],
    refund_settled: [{ code: 'refund_settled', status: 'paid', version: 4, refundId: 1 }, 409],
    version_mismatch: [{ code: 'version_mismatch', status: 'placed', version: 3 }, 412],
    total_mismatch: [{ code: 'total_mismatch', total: 2990 }, 400],
    reference_taken: [{ code: 'reference_taken', orderId: ORDER_ID }, 409],
    key_reused: [{ code: 'key_reused' }, 422],
    unstorable: [{ code: 'unstorable', detail: 'too long' }, 400],
  };

  const rows = Object.values(REJECTIONS).map(([rejection, status]) => ({ code: rejection.code, status, rejection }));
  it.each(rows)('$code is $status', ({ rejection, status }) => {
    const problem = refused(Rejection.parse(rejection), ORDER_ID).toProblem('r-1');
    expect(Problem.parse(problem)).toMatchObject({ code: rejection.code, status });
  });

  it('hold the state that refuses, and its ETag', () => {
    const closed = refused({ code: 'order_closed', status: 'shipped', version: 3 }, ORDER_ID);
    expect(closed.members.order).toEqual({ id: ORDER_ID, status: 'shipped', version: 3 });
    const moved = refused({ code: 'version_mismatch', status: 'paid', version: 2 }, ORDER_ID);
    expect(moved.headers).toEqual({ etag: '"2"' });
  });

  it('name the state in words and as data, whenever a state refuses', () => {
    for (const [rejection] of Object.values(REJECTIONS).filter(([{ code }]) => code !== 'version_mismatch')) {
      if (!('status' in rejection)) continue;
      const problem = refused(rejection, ORDER_ID);
      expect(problem.message).toContain(rejection.status);
      expect(problem.members.order).toEqual({ id: ORDER_ID, status: rejection.status, version: rejection.version });
      expect(problem.headers).toEqual({ etag: `"${rejection.version}"` });
    }
  });

  it('point at the field that is wrong', () => {
    expect(refused({ code: 'total_mismatch', total: 2990 }).members).toMatchObject({
      total: 2990,
      errors: [{ pointer: '/expectedTotal' }],
    });
    expect(refused({ code: 'reference_taken', orderId: ORDER_ID }).members).toMatchObject({
      order: { id: ORDER_ID },
      errors: [{ pointer: '/reference' }],
    });
  });
});
