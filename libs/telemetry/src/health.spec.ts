import { jest } from '@jest/globals';
import { CHECK_TIMEOUT_MS, Health } from './health.ts';

describe('health', () => {
  it('is ok without checks', async () => {
    await expect(new Health('orders').report()).resolves.toEqual({ status: 'ok', service: 'orders', checks: {} });
  });

  it('is as bad as the worst check', async () => {
    const health = new Health('orders');
    health.add('postgres', () => ({ status: 'ok' }));
    health.add('relay', async () => ({ status: 'degraded', reason: '40 events behind' }));
    await expect(health.report()).resolves.toMatchObject({ status: 'degraded' });
    health.add('rabbitmq', () => ({ status: 'unavailable', reason: 'not connected' }));
    await expect(health.report()).resolves.toEqual({
      status: 'unavailable',
      service: 'orders',
      checks: {
        postgres: { status: 'ok' },
        relay: { status: 'degraded', reason: '40 events behind' },
        rabbitmq: { status: 'unavailable', reason: 'not connected' },
      },
    });
  });

  it('takes a check that throws, at once or later, as unavailable and says why', async () => {
    const health = new Health('orders');
    health.add('now', () => {
      throw new Error('no pool');
    });
    health.add('later', () => Promise.reject(new Error('no route')));
    await expect(health.report()).resolves.toMatchObject({
      status: 'unavailable',
      checks: { now: { reason: 'no pool' }, later: { reason: 'no route' } },
    });
  });

  it('does not wait for a check that hangs', async () => {
    jest.useFakeTimers();
    try {
      const health = new Health('orders');
      health.add('postgres', () => new Promise(() => undefined));
      const report = health.report();
      await jest.advanceTimersByTimeAsync(CHECK_TIMEOUT_MS);
      await expect(report).resolves.toMatchObject({
        status: 'unavailable',
        checks: { postgres: { reason: 'did not answer within 2000 ms' } },
      });
    } finally {
      jest.useRealTimers();
    }
  });

  it('is unavailable from the moment the service stops', async () => {
    const health = new Health('orders');
    health.stopping();
    await expect(health.report()).resolves.toMatchObject({
      status: 'unavailable',
      checks: { process: { reason: 'is stopping' } },
    });
  });

  it('refuses two checks of one name', () => {
    const health = new Health('orders');
    health.add('postgres', () => ({ status: 'ok' }));
    expect(() => health.add('postgres', () => ({ status: 'ok' }))).toThrow('postgres');
  });
});
