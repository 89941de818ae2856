import { describe, expect, it } from '@jest/globals';
import { Slots } from './slots.ts';

/** Looks every 20 ms for a while, as answers come at a rate. */
function run(
  slots: Slots,
  { from = 0, seconds, rate, waiting }: { from?: number; seconds: number; rate: number; waiting: number },
) {
  let given = 0;
  for (let ms = 0; ms <= seconds * 1_000; ms += 20) {
    for (; given < (rate * ms) / 1_000; given += 1) slots.answered();
    slots.look(from + ms, waiting);
  }
}

describe('the number of requests that may wait', () => {
  it('is the most until a rate is known', () => {
    expect(new Slots(2_000, 500).count).toBe(2_000);
  });

  it('becomes what is answered within the longest wait', () => {
    const slots = new Slots(2_000, 500);
    run(slots, { seconds: 3, rate: 2_000, waiting: 1_500 });
    expect(slots.count).toBeGreaterThan(950);
    expect(slots.count).toBeLessThan(1_050);
  });

  it('never falls below what a burst may bring, though nothing is answered', () => {
    const slots = new Slots(2_000, 500);
    run(slots, { seconds: 5, rate: 0, waiting: 2_000 });
    expect(slots.count).toBe(256);
  });

  it('comes back when answers do', () => {
    const slots = new Slots(2_000, 500);
    run(slots, { seconds: 5, rate: 0, waiting: 2_000 });
    run(slots, { from: 5_020, seconds: 3, rate: 10_000, waiting: 256 });
    expect(slots.count).toBe(2_000);
  });

  it('learns nothing from a rate at which few ask', () => {
    const slots = new Slots(2_000, 500);
    run(slots, { seconds: 5, rate: 10, waiting: 5 });
    expect(slots.count).toBe(2_000);
  });

  it('is as many as allowed when no wait is too long, and a small number is never raised', () => {
    const [unbounded, small] = [new Slots(2_000), new Slots(2, 500)];
    for (const slots of [unbounded, small]) run(slots, { seconds: 3, rate: 100, waiting: 2_000 });
    expect([unbounded.count, small.count]).toEqual([2_000, 2]);
  });
});
