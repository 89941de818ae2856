import { describe, expect, it } from '@jest/globals';
import { paid, placed } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './rates.ts';

const secondsOf = (...events: Parameters<typeof fold>[0]) =>
  [...fold(events)].map(([second, counts]) => [new Date(second).toISOString(), counts]);

describe('the rates', () => {
  it('count all events of a second, and the orders placed among them', () => {
    const time = '2026-01-01T00:00:00.500Z';
    expect(secondsOf(at(time, placed('EUR', 1)), at(time, paid('EUR', 1)), at(time, placed('EUR', 1)))).toEqual([
      ['2026-01-01T00:00:00.000Z', { events: 3, placed: 2 }],
    ]);
  });

  it('have a late event in its own second, and a full second as the beginning of the next', () => {
    const times = ['2026-01-01T00:00:07.000Z', '2026-01-01T00:00:01.999Z', '2026-01-01T00:00:02.000Z'];
    expect(secondsOf(...times.map((time) => at(time, paid('EUR', 1))))).toEqual([
      ['2026-01-01T00:00:07.000Z', { events: 1, placed: 0 }],
      ['2026-01-01T00:00:01.000Z', { events: 1, placed: 0 }],
      ['2026-01-01T00:00:02.000Z', { events: 1, placed: 0 }],
    ]);
  });
});
