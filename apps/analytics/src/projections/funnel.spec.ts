import { describe, expect, it } from '@jest/globals';
import {
  cancelled,
  delivered,
  paid,
  placed,
  refundClosed,
  refundDeclined,
  refunded,
  shipped,
} from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './funnel.ts';

const TIME = '2026-01-01T10:30:00.000Z';
const stepsOf = (...events: Parameters<typeof fold>[0]) =>
  fold(events).map(({ hour, step, orders }) => [new Date(hour).toISOString(), step, orders]);

describe('the funnel', () => {
  it('counts in the hour in which an order got there, not in that of its placing', () => {
    const steps = [placed('EUR', 1), paid('EUR', 1), shipped(true), delivered()];
    expect(stepsOf(...steps.map((event, index) => at(`2026-01-01T1${index}:30:00.000Z`, event)))).toEqual([
      ['2026-01-01T10:00:00.000Z', 'placed', 1],
      ['2026-01-01T11:00:00.000Z', 'paid', 1],
      ['2026-01-01T12:00:00.000Z', 'shipped', 1],
      ['2026-01-01T13:00:00.000Z', 'delivered', 1],
    ]);
  });

  it('counts a late event in its own hour, and a full hour as the beginning of the next', () => {
    const times = ['2026-01-01T12:00:00.000Z', '2026-01-01T10:59:59.999Z', '2026-01-01T11:00:00.000Z'];
    expect(stepsOf(...times.map((time) => at(time, paid('EUR', 1))))).toEqual([
      ['2026-01-01T12:00:00.000Z', 'paid', 1],
      ['2026-01-01T10:00:00.000Z', 'paid', 1],
      ['2026-01-01T11:00:00.000Z', 'paid', 1],
    ]);
  });

  it('tells cancellations apart by who cancelled and why, given or not', () => {
    const events = [
      cancelled('customer', 'too slow'),
      cancelled('declined', 'too slow'),
      cancelled('customer'),
      cancelled('customer', 'too slow'),
    ];
    expect(
      fold(events.map((event) => at(TIME, event))).map(({ cause, reason, orders }) => [cause, reason, orders]),
    ).toEqual([
      ['customer', 'too slow', 2],
      ['declined', 'too slow', 1],
      ['customer', '', 1],
    ]);
  });

  it('passes over shipments after which something remains, and what is no step', () => {
    for (const event of [shipped(false), refunded('EUR', 1), refundDeclined('EUR', 1), refundClosed('EUR', 1)])
      expect(fold([at(TIME, event)])).toEqual([]);
  });
});
