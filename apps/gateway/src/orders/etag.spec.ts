import { ProblemError } from '../problem.ts';
import { conditionsOf, holdWithoutTag, readingOf } from './etag.ts';

const ifMatch = (header: string) => conditionsOf({ 'if-match': header });
const ifNoneMatch = (header: string) => conditionsOf({ 'if-none-match': header });

describe('a command', () => {
  it('without a condition, or with If-Match: *, requires nothing of the version', () => {
    expect([conditionsOf({}), ifMatch('*'), ifMatch(' * ')]).toEqual([{}, {}, {}]);
  });

  it.each([
    ['"3"', 3],
    [' "12" ', 12],
    ['W/"3"', 3],
    ['"1", "2"', [1, 2]],
    ['"1","2"', [1, 2]],
    [', "1" ,, W/"2",', [1, 2]],
    ['"3", "3", "abc"', 3],
    ['"0"', []],
    ['"abc"', []],
    ['""', []],
    ['"03"', []],
    ['"-1"', []],
    ['"3-gzip"', []],
    ['"a,b", "é"', []],
    ['"*"', []],
    ['"99999999999999999999"', []],
    ['"9999999999999999"', []],
  ])('with If-Match: %s requires the version %j', (header, ifVersion) => {
    expect(ifMatch(header)).toEqual({ ifVersion });
  });

  it.each([
    ['"3"', [3]],
    ['W/"3", "x", "4"', [3, 4]],
    // A repeat with the same key may name them in another order.
    ['"12", "4", W/"3"', [3, 4, 12]],
  ])('with If-None-Match: %s refuses the versions %j', (header, unlessVersion) => {
    expect(ifNoneMatch(header)).toEqual({ unlessVersion });
    expect(conditionsOf({ 'if-match': '"7"', 'if-none-match': header })).toEqual({ ifVersion: 7, unlessVersion });
  });

  it('with If-None-Match: * refuses every version', () => {
    expect(ifNoneMatch('*')).toEqual({ ifVersion: [] });
    expect(conditionsOf({ 'if-match': '"7"', 'if-none-match': '*' })).toEqual({ ifVersion: [] });
  });

  const many = Array.from({ length: 101 }, (_, n) => `"${n + 1}"`).join(', ');
  it.each(['', ',', '3', 'latest', '"3', '3"', '"1" "2"', '"1", 2', 'w/"3"', 'W/3', '"a b"', '*, "1"', '"1", *', many])(
    'with %j is refused by the name of the header',
    (header) => {
      for (const [name, read] of [['If-Match', ifMatch] as const, ['If-None-Match', ifNoneMatch] as const]) {
        expect(() => read(header)).toThrow(ProblemError);
        expect(() => read(header)).toThrow(new RegExp(`^${name} takes`));
      }
    },
  );

  it('with 16 KiB that are no list is refused at once', () => {
    for (const header of [
      '"1",'.repeat(4_000) + 'x',
      ' '.repeat(16_000) + 'x',
      ','.repeat(16_000) + 'x',
      '"'.repeat(16_001),
    ])
      expect(() => ifMatch(header)).toThrow(/^If-Match takes/);
  });
});

describe('reading an order at version 3', () => {
  const reading = (match?: string, noneMatch?: string) =>
    readingOf({ 'if-match': match, 'if-none-match': noneMatch }, 3);

  it.each([undefined, '*', '"3"', 'W/"3"', '"1", "3"'])('with If-Match: %s is answered', (header) => {
    expect(reading(header)).toBe('whole');
  });
  it.each(['"2"', '"abc"', '"1", "2"'])('with If-Match: %s is a mismatch, whatever the client has', (header) => {
    expect([reading(header), reading(header, '"3"')]).toEqual(['mismatch', 'mismatch']);
  });
  it.each(['"3"', 'W/"3"', '*', '"1", "3"', '"x","3"'])('with If-None-Match: %s is unchanged', (header) => {
    expect([reading(undefined, header), reading('"3"', header)]).toEqual(['unchanged', 'unchanged']);
  });
  it.each(['', '"2"', '3', '"33"'])('with If-None-Match: %j is answered', (header) => {
    expect(reading(undefined, header)).toBe('whole');
  });
});

it('what has no ETag passes If-Match: * and If-None-Match with any tag', () => {
  expect(holdWithoutTag({})).toBe(true);
  expect(holdWithoutTag({ 'if-match': '*', 'if-none-match': '"1"' })).toBe(true);
  expect(holdWithoutTag({ 'if-match': '"1"' })).toBe(false);
  expect(holdWithoutTag({ 'if-none-match': ' * ' })).toBe(false);
});
