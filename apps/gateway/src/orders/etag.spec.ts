import { ProblemError } from '../problem.ts';
import { ifMatchOf, isKnown } from './etag.ts';

describe('If-Match', () => {
  it.each([
    [undefined, undefined],
    ['*', undefined],
    ['"3"', 3],
    [' "12" ', 12],
  ])('%j asks for version %j', (header, version) => {
    expect(ifMatchOf(header)).toBe(version);
  });

  it.each([
    '',
    '3',
    '"0"',
    '"03"',
    '"-1"',
    '"abc"',
    'W/"3"',
    '"1", "2"',
    '"99999999999999999999"',
    '"9999999999999999"',
  ])('refuses %j by the name of the header', (header) => {
    expect(() => ifMatchOf(header)).toThrow(ProblemError);
    expect(() => ifMatchOf(header)).toThrow(/^If-Match takes/);
  });
});

describe('If-None-Match', () => {
  it.each(['"3"', 'W/"3"', '*', '"1", "3"'])('%s knows "3"', (header) => {
    expect(isKnown(header, '"3"')).toBe(true);
  });
  it.each([undefined, '', '"2"', '3', '"33"'])('%j does not know "3"', (header) => {
    expect(isKnown(header, '"3"')).toBe(false);
  });
});
