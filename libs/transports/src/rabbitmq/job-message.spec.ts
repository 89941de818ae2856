import { attemptsAfter, headersWith, readAttempts, readJob, waitAfter } from './job-message.ts';

describe('the wait after a failed attempt', () => {
  it('grows, and is one of two neighbours', () => {
    const waits = (attempt: number) => [0, 0.49, 0.5, 0.999].map((random) => waitAfter(attempt, 5, random));
    expect([1, 2, 3, 4].map(waits)).toEqual([
      [0, 0, 1, 1],
      [1, 1, 2, 2],
      [2, 2, 3, 3],
      [3, 3, 4, 4],
    ]);
  });

  it('is never longer than the longest', () => {
    expect(waitAfter(9, 5, 0.999)).toBe(4);
  });
});

describe('the headers of a job', () => {
  const now = new Date('2026-01-01T00:00:00.000Z');

  const headersAfter = (headers: Record<string, unknown>, failure: string, at: Date) =>
    headersWith(headers, attemptsAfter(readAttempts(headers), failure, at));

  it('count attempts and keep the time of the first failure', () => {
    const first = headersAfter({ method: 'card' }, 'away', now);
    expect(first).toEqual({
      method: 'card',
      'x-attempt': 2,
      'x-first-failed-at': now.toISOString(),
      'x-last-failure': 'away',
    });
    const second = headersAfter(first, 'slow', new Date('2026-01-02T00:00:00.000Z'));
    expect(second).toMatchObject({ 'x-attempt': 3, 'x-first-failed-at': now.toISOString(), 'x-last-failure': 'slow' });
  });

  it('lose what the broker wrote of earlier waits', () => {
    expect(headersAfter({ 'x-death': [], method: 'card' }, 'away', now)).not.toHaveProperty('x-death');
  });

  it('stay as they are after a wait that was no attempt', () => {
    const failed = headersAfter({ method: 'card' }, 'away', now);
    expect(headersWith({ ...failed, 'x-death': [] }, readAttempts(failed))).toEqual(failed);
    expect(headersWith({ method: 'card', 'x-death': [] }, readAttempts({}))).toEqual({ method: 'card' });
  });

  it.each(['many', { toString: 1, valueOf: 1 }, -1])('that make no sense count as a first attempt: %j', (attempt) => {
    expect(readAttempts({ 'x-attempt': attempt, 'x-first-failed-at': 7 })).toEqual({
      attempt: 1,
      firstFailedAt: undefined,
      lastFailure: undefined,
    });
  });
});

describe('a message', () => {
  it.each(['', '{', 'null', '[]', '{"data":1}', '{"pattern":7}'])('%j is no job', (text) => {
    expect(readJob(Buffer.from(text))).toBeUndefined();
  });

  it('that is no UTF-8 is no job', () => {
    expect(readJob(Buffer.from([0xff, 0xfe]))).toBeUndefined();
  });
});
