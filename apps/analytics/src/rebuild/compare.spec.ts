import { describe, expect, it } from '@jest/globals';
import { differences } from './compare.ts';

describe('two copies of a projection', () => {
  const live = { sums: { placed: 10n, amount: 2n ** 60n }, quantiles: { p50: 1_000, p99: 10_000 } };

  it('are the same when every sum is, and every quantile within the error of two sketches', () => {
    expect(differences(live, { ...live, quantiles: { p50: 1_020, p99: 9_801 } })).toEqual([]);
  });

  it('differ by one minor unit, past what a double can hold', () => {
    expect(differences(live, { ...live, sums: { ...live.sums, amount: 2n ** 60n + 1n } })).toEqual([
      { name: 'amount', live: '1152921504606846976', rebuilt: '1152921504606846977' },
    ]);
  });

  it('differ where a quantile is further away, or there is none', () => {
    expect(differences(live, { ...live, quantiles: { p50: 1_050 } })).toEqual([
      { name: 'p50', live: '1000', rebuilt: '1050' },
      { name: 'p99', live: '10000', rebuilt: 'undefined' },
    ]);
  });

  it('take a sum that is not there for zero', () => {
    expect(differences({ sums: {}, quantiles: {} }, { sums: { placed: 0n }, quantiles: {} })).toEqual([]);
  });
});
