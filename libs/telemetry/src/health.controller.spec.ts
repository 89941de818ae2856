import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { NestFactory } from '@nestjs/core';
import { Health } from './health.ts';
import { HealthModule } from './health.controller.ts';

describe('the probes', () => {
  const health = new Health('orders');
  let app: NestFastifyApplication;
  beforeAll(async () => {
    health.add('relay', () => ({ status: 'degraded', reason: 'behind' }));
    app = await NestFactory.create<NestFastifyApplication>(HealthModule.forRoot(health), new FastifyAdapter(), {
      logger: false,
    });
    await app.init();
  });
  afterAll(() => app.close());

  it('answer 200 while the service can work, though degraded', async () => {
    const ready = await app.inject('/health/ready');
    expect(ready.statusCode).toBe(200);
    expect(ready.headers['cache-control']).toBe('no-store');
    expect(ready.json()).toEqual({
      status: 'degraded',
      service: 'orders',
      checks: { relay: { status: 'degraded', reason: 'behind' } },
    });
  });

  it('answer 503 for readiness when the service stops, while it is still alive', async () => {
    health.stopping();
    expect((await app.inject('/health/ready')).statusCode).toBe(503);
    const live = await app.inject('/health/live');
    expect(live.statusCode).toBe(200);
    expect(live.json()).toEqual({ status: 'ok', service: 'orders', checks: {} });
  });
});
