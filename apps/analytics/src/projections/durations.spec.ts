import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { cancelled, paid, placed, shipped } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold, measure } from './durations.ts';

const ORDER = randomUUID();
const after = (seconds: number) => new Date(Date.parse('2026-01-01T23:59:00.000Z') + seconds * 1_000).toISOString();
const stepsOf = (...events: Parameters<typeof fold>[0]) => fold(events).reached.map(({ step }) => step);
/** Of events that have it all. */
const measured = (...events: Parameters<typeof fold>[0]) => {
  const { reached, placed } = fold(events);
  return measure(reached, (orderId) => placed.get(orderId));
};

describe('the durations', () => {
  it('run from the placing to the payment and to the last shipment', () => {
    const distributions = measured(
      at(after(0), placed('EUR', 1), ORDER),
      at(after(5), paid('EUR', 1), ORDER),
      at(after(20), shipped(false), ORDER),
      at(after(30), shipped(true), ORDER),
    );
    const ofDays = distributions.filter(({ bucket }) => bucket === 'day');
    expect(ofDays).toMatchObject([
      { step: 'paid', orders: 1, sumMs: 5_000n, minMs: 5_000, maxMs: 5_000 },
      { step: 'shipped', orders: 1, sumMs: 30_000n, minMs: 30_000, maxMs: 30_000 },
    ]);
  });

  it('belong to the hour and the day in which the order got there, not to those of its placing', () => {
    const distributions = measured(at(after(0), placed('EUR', 1), ORDER), at(after(60), paid('EUR', 1), ORDER));
    expect(distributions.map(({ bucket, start }) => [bucket, start])).toEqual([
      ['hour', '2026-01-02T00:00:00.000Z'],
      ['day', '2026-01-02T00:00:00.000Z'],
    ]);
  });

  it('of several orders are in one distribution', () => {
    const orders = [1, 2, 3].map((seconds) => ({ seconds, id: randomUUID() }));
    const [hour] = measured(
      ...orders.flatMap(({ seconds, id }) => [
        at(after(0), placed('EUR', 1), id),
        at(after(seconds), paid('EUR', 1), id),
      ]),
    );
    expect(hour).toMatchObject({ bucket: 'hour', orders: 3, sumMs: 6_000n, minMs: 1_000, maxMs: 3_000 });
    expect(hour?.sketch.count).toBe(3);
  });

  it('are not told of an order whose placing nobody knows', () => {
    expect(measured(at(after(1), paid('EUR', 1), ORDER))).toEqual([]);
  });

  it('are never below nothing, though two servers have two clocks', () => {
    expect(measured(at(after(5), placed('EUR', 1), ORDER), at(after(4), paid('EUR', 1), ORDER))).toMatchObject([
      { minMs: 0, maxMs: 0, sumMs: 0n },
      { minMs: 0, maxMs: 0, sumMs: 0n },
    ]);
  });

  it('end with the last shipment or the cancellation: what comes after says nothing any more', () => {
    expect(stepsOf(at(after(1), shipped(true), ORDER), at(after(2), paid('EUR', 1), ORDER))).toEqual(['shipped']);
    expect(stepsOf(at(after(1), cancelled('customer'), ORDER), at(after(2), paid('EUR', 1), ORDER))).toEqual([]);
    expect(stepsOf(at(after(1), cancelled('customer'), ORDER), at(after(2), shipped(true), ORDER))).toEqual([]);
    expect([...fold([at(after(1), shipped(true), ORDER)]).closed]).toEqual([ORDER]);
  });

  it('go on with a payment and with a shipment after which something remains', () => {
    const { closed } = fold([at(after(1), paid('EUR', 1), ORDER), at(after(2), shipped(false), ORDER)]);
    expect([...closed]).toEqual([]);
  });
});
