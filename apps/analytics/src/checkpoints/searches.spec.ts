import { describe, expect, it } from '@jest/globals';
import { SEARCH_MS_MAX, SEARCH_MS_MIN, Searches } from './searches.ts';

const standing = { partition: 0, mark: 7n, nextOffset: 12n };

describe('a partition that lacks what was published', () => {
  it('is searched at once, and then less and less often', () => {
    const searches = new Searches();
    const times: number[] = [];
    for (let nowMs = 0; nowMs < 2 * SEARCH_MS_MAX; nowMs += 500) if (searches.begin(standing, nowMs)) times.push(nowMs);
    const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(times[0]).toBe(0);
    expect(pauses[0]).toBe(SEARCH_MS_MIN);
    pauses.slice(1).forEach((pause, index) => expect(pause).toBe(Math.min(2 * (pauses[index] ?? 0), SEARCH_MS_MAX)));
  });

  it('is searched at once again when something was found', () => {
    const searches = new Searches();
    expect(searches.begin(standing, 0)).toBe(true);
    expect(searches.begin(standing, 1)).toBe(false);
    expect(searches.begin({ ...standing, mark: 8n }, 2)).toBe(true);
  });

  it('does not hold up another', () => {
    const searches = new Searches();
    expect(searches.begin(standing, 0)).toBe(true);
    expect(searches.begin({ ...standing, partition: 1 }, 0)).toBe(true);
  });

  it('counts as read while it is read again', () => {
    const searches = new Searches();
    searches.begin(standing, 0);
    expect(searches.readUpTo({ ...standing, nextOffset: 0n })).toBe(12n);
    expect(searches.readUpTo({ ...standing, nextOffset: 13n })).toBe(13n);
    expect(searches.readUpTo({ ...standing, mark: 8n, nextOffset: 3n })).toBe(3n);
  });
});
