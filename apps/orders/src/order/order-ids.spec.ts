import { describe, expect, it } from '@jest/globals';
import { OrderId } from '@tandem/contracts/order';
import fc from 'fast-check';
import { firstIdAt, orderIds } from './order-ids.ts';

describe('the ids of orders', () => {
  it('sort by the time of placing, and within a millisecond in the order in which they are made', () => {
    const newId = orderIds();
    const times = [1, 1, 1, 2, 1_700_000_000_000, 1_700_000_000_000, 1_700_000_000_001];
    const ids = times.map((ms) => newId(new Date(ms)));
    expect([...ids].sort()).toEqual(ids);
    for (const id of ids) expect(OrderId.parse(id)).toBe(id);
  });

  it('tell exactly in which millisecond an order was placed: a bound of time is a bound of ids', () => {
    const newId = orderIds();
    const time = fc.integer({ min: 0, max: 4_102_444_800_000 });
    fc.assert(
      fc.property(time, fc.integer({ min: -2, max: 2 }), (ms, apart) => {
        const bound = Math.max(0, ms + apart);
        expect(newId(new Date(ms)) >= firstIdAt(bound)).toBe(ms >= bound);
      }),
    );
  });

  it('have a first for any time that a date may have', () => {
    expect(firstIdAt(-1)).toBe('00000000-0000-0000-0000-000000000000');
    expect(firstIdAt(8_640_000_000_000_000)).toBe('ffffffff-ffff-0000-0000-000000000000');
  });
});
