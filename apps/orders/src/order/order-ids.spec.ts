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

  it('do not tell how many orders were placed between two of them', () => {
    const counterOf = (id: string) => {
      const [six, seven, eight, nine, ten] = Buffer.from(id.replaceAll('-', ''), 'hex').subarray(
        6,
      ) as never as number[];
      return (((six! & 0xf) << 28) | (seven! << 20) | ((eight! & 0x3f) << 14) | (nine! << 6) | (ten! >> 2)) >>> 0;
    };
    const newId = orderIds();
    const apart = Array.from({ length: 64 }, (_, ms) => counterOf(newId(new Date(ms))));
    expect(apart).not.toEqual([...apart].sort((a, b) => a - b));
    const together = Array.from({ length: 64 }, () => counterOf(newId(new Date(100))));
    expect(new Set(together.slice(1).map((count, n) => count - together[n]!)).size).toBeGreaterThan(32);
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
