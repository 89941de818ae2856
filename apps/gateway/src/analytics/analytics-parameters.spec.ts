import { REVENUE_BUCKETS_MAX } from '@tandem/contracts/analytics-queries';
import {
  FUNNEL_RANGE,
  rangeIn,
  REVENUE_RANGE,
  RevenueParameters,
  SummaryParameters,
  TOP_RANGE,
  TopParameters,
} from './analytics-parameters.ts';

const NOW = Date.parse('2026-01-01T12:34:56.789Z');
const minutesOf = (range: { from?: string; to?: string }, nowMs: number) => rangeIn(REVENUE_RANGE.minute, range, nowMs);

describe('the range of revenue', () => {
  it('is the last hour, the running minute included, when nothing is said', () => {
    expect(minutesOf({}, NOW)).toEqual({ from: '2026-01-01T11:35:00.000Z', to: '2026-01-01T12:35:00.000Z' });
  });

  it('is made of the whole minutes that it touches, in UTC', () => {
    const range = { from: '2026-01-01T10:00:30+02:00', to: '2026-01-01T08:02:00.001Z' };
    expect(minutesOf(range, NOW)).toEqual({ from: '2026-01-01T08:00:00.000Z', to: '2026-01-01T08:03:00.000Z' });
  });

  it('takes in what is before its end by less than a millisecond', () => {
    const range = { from: '2026-01-01T08:00:00.000999Z', to: '2026-01-01T08:02:00.000001Z' };
    expect(minutesOf(range, NOW)).toEqual({ from: '2026-01-01T08:00:00.000Z', to: '2026-01-01T08:03:00.000Z' });
    expect(minutesOf({ ...range, to: '2026-01-01T08:02:00.000000Z' }, NOW)).toMatchObject({
      to: '2026-01-01T08:02:00.000Z',
    });
  });

  it('ends an hour after nothing but `to` is said, and now after nothing but `from`', () => {
    expect(minutesOf({ to: '2026-01-01T02:00:00Z' }, NOW)).toMatchObject({ from: '2026-01-01T01:00:00.000Z' });
    expect(minutesOf({ from: '2026-01-01T12:00:00Z' }, NOW)).toMatchObject({ to: '2026-01-01T12:35:00.000Z' });
  });

  it('may have as many minutes as one answer, and not one more', () => {
    const from = '2026-01-01T00:00:00Z';
    expect(() => minutesOf({ from, to: '2026-01-02T00:00:00Z' }, NOW)).not.toThrow();
    expect(() => minutesOf({ from, to: '2026-01-02T00:00:01Z' }, NOW)).toThrow(
      `from leaves a range of ${REVENUE_BUCKETS_MAX + 1} minutes`,
    );
  });

  it.each([
    [{ from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' }, 'to'],
    [{ from: '2026-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' }, 'to'],
    [{ from: '2026-01-02T00:00:00Z' }, 'from'],
    [{ to: '0000-01-01T00:00:00Z' }, 'from'],
    [{ to: '0000-06-01T00:00:00Z' }, 'from'],
    [{ to: '9999-12-31T23:59:59-12:00', from: '9999-12-31T23:00:00Z' }, 'to'],
  ])('%j is refused, naming %s', (range, parameter) => {
    expect(() => minutesOf(range, NOW)).toThrow(new RegExp(`^${parameter} `));
  });

  it.each([['yesterday'], ['2026-01-01'], ['2026-01-01T00:00:00'], ['2026-02-30T00:00:00Z']])(
    '%s is no time',
    (from) => {
      expect(RevenueParameters.safeParse({ from }).success).toBe(false);
    },
  );
});

describe('the ranges of other answers', () => {
  it.each([
    ['hour', REVENUE_RANGE.hour, '2025-12-31T13:00:00.000Z', '2026-01-01T13:00:00.000Z'],
    ['day', REVENUE_RANGE.day, '2025-12-03T00:00:00.000Z', '2026-01-02T00:00:00.000Z'],
    ['hour of the funnel', FUNNEL_RANGE, '2025-12-31T13:00:00.000Z', '2026-01-01T13:00:00.000Z'],
    ['day of the tops', TOP_RANGE, '2025-12-26T00:00:00.000Z', '2026-01-02T00:00:00.000Z'],
  ])('are whole, the running %s included', (_name, unit, from, to) => {
    expect(rangeIn(unit, {}, NOW)).toEqual({ from, to });
  });

  it('are as long as one answer takes, and no longer', () => {
    const from = '2026-01-01T00:00:00Z';
    expect(() => rangeIn(TOP_RANGE, { from, to: '2026-04-03T00:00:00Z' }, NOW)).not.toThrow();
    expect(() => rangeIn(TOP_RANGE, { from, to: '2026-04-03T00:00:01Z' }, NOW)).toThrow('a range of 93 days');
  });
});

describe('limit', () => {
  it('is 10 unless given', () => expect(TopParameters.parse({})).toEqual({ limit: 10 }));
  it.each(['0', '101', '1.5', 'all', ''])('%j is none', (limit) => {
    expect(TopParameters.safeParse({ limit }).success).toBe(false);
  });
});

describe('after', () => {
  it.each([
    ['0', 0],
    ['1234', 1234],
  ])('%s is position %d', (after, position) => {
    expect(SummaryParameters.parse({ after })).toEqual({ after: position });
  });
  it.each(['-1', '1.5', 'latest', '', ' 1', '99999999999999999'])('%j is none', (after) => {
    expect(SummaryParameters.safeParse({ after }).success).toBe(false);
  });
});
