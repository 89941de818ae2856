import { describe, expect, it } from '@jest/globals';
import { median, medianRatio, rounded } from './statistics.ts';

describe('median', () => {
  it('is the middle one, whatever the order', () => expect(median([9, 1, 3])).toBe(3));
  it('is the mean of the two in the middle of an even number', () => expect(median([4, 1, 2, 9])).toBe(3));
  it('is not a number when there is none', () => expect(median([])).toBeNaN());
});

describe('medianRatio', () => {
  it('compares within each round, so that a slow round does not count', () => {
    // In the second round everything took twice as long.
    expect(medianRatio([30, 15, 33], [10, 5, 11])).toBe(3);
  });
});

describe('rounded', () => {
  it('keeps three digits', () => expect(rounded(0.123456)).toBe(0.123));
  it('leaves what is no number', () => expect(rounded(NaN)).toBeNaN());
});
