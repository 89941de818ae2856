import fc from 'fast-check';
import { parseJson } from './json-body.ts';
import { ProblemError } from './problem.ts';

const errorsOf = (text: string) => {
  try {
    parseJson(Buffer.from(text));
  } catch (error) {
    if (error instanceof ProblemError) return error.members.errors;
    throw error;
  }
  return undefined;
};

describe('a body', () => {
  it.each([
    ['{"a":1,"a":1}', '/a'],
    ['{"a":1,"b":{"c":[0,{"d/e":1,"x":":","d/e":2}]}}', '/b/c/1/d~1e'],
    ['{"a":{"b":{}},"c":1,"a":{}}', '/a'],
    ['{"a":1,"\\u0061":2}', '/a'],
    ['{"":1,"":2}', '/'],
    ['[{},{"a":"}","a":","}]', '/1/a'],
  ])('%s with a name twice is refused where the second stands', (text, pointer) => {
    expect(errorsOf(text)).toEqual([{ pointer, detail: 'is given twice' }]);
  });

  it.each([
    ['9007199254740991.4'],
    ['100.00000000000000001'],
    ['0.99999999999999999999'],
    ['1.00000000000000000000001'],
    ['-1.00000000000000000001'],
    ['1e-400'],
    ['10000000000000000000001e-1'],
    ['123456789012345678.5e0'],
  ])('with the fraction %s that JSON would round is refused where it stands', (literal) => {
    const pointer = '/lines/1/unitPrice';
    expect(errorsOf(`{"lines": [1.5, {"unitPrice":\n${literal}}]}`)).toEqual([
      { pointer, detail: 'must be a whole number' },
    ]);
  });

  it.each([
    '1',
    '1.0',
    '1e2',
    '1E+2',
    '100e-2',
    '1.50e1',
    '0.000',
    '-0.0',
    '1.5',
    '0.1',
    '1e400',
    '0e-9',
    '12345678901234567890',
  ])('with the number %s is parsed as ever', (literal) => {
    expect(parseJson(Buffer.from(`{"a":${literal},"b":"x:1.5"}`))).toEqual({ a: Number(literal), b: 'x:1.5' });
  });

  it('with colons, braces and fractions in its texts is parsed as ever', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const value: unknown = JSON.parse(text);
        fc.pre(!text.includes('__proto__') && !text.includes('constructor'));
        expect(parseJson(Buffer.from(text))).toEqual(value);
      }),
    );
  });

  it('with a member repeated anywhere is refused', () => {
    const object = fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), { minKeys: 1, noNullPrototype: true });
    fc.assert(
      fc.property(object, fc.nat(), fc.array(fc.constantFrom('[', '{"a":'), { maxLength: 5 }), (value, at, around) => {
        const name = Object.keys(value)[at % Object.keys(value).length] as string;
        fc.pre(!/__proto__|constructor/.test(JSON.stringify(value)));
        const repeated = `${JSON.stringify(value).slice(0, -1)},${JSON.stringify(name)}:null}`;
        const text = around.reduceRight((inner, open) => open + inner + (open === '[' ? ']' : '}'), repeated);
        expect(errorsOf(text)).toHaveLength(1);
      }),
    );
  });

  it('names fifty of its mistakes at most', () => {
    expect(errorsOf(`[${Array<string>(100).fill('1e-400').join(',')}]`)).toHaveLength(50);
  });
});
