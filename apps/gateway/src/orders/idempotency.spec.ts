import { CommandId } from '@tandem/contracts/order-commands';
import fc from 'fast-check';
import { ProblemError } from '../problem.ts';
import { commandIdOf, idempotencyKeyOf } from './idempotency.ts';

describe('Idempotency-Key', () => {
  it('is made when the caller sent none, a new one each time', () => {
    expect(idempotencyKeyOf(undefined)).not.toBe(idempotencyKeyOf(undefined));
  });

  it.each([
    ['cart-77', 'cart-77'],
    ['"cart-77"', 'cart-77'],
    ['"a\\"b\\\\c"', 'a"b\\c'],
    ['a"b', 'a"b'],
    ['x'.repeat(255), 'x'.repeat(255)],
    [`"${'x'.repeat(255)}"`, 'x'.repeat(255)],
    ['!', '!'],
    ['"cart-77";v=1', 'cart-77'],
    ['"cart-77"; a;b=?0;c="x;\\"y";d=tok/en:1;e=:aGk=:;f=-1.25;*g=@1659578233;h=%"f%c3%bc"', 'cart-77'],
    ['"a;b=c"', 'a;b=c'],
    ['cart;v=1', 'cart;v=1'],
  ])('%s is the key %s', (header, key) => {
    expect(idempotencyKeyOf(header)).toBe(key);
  });

  it.each([
    '',
    '""',
    '"',
    '"open',
    '"a"b"',
    '"a\\n"',
    'a b',
    'a\tb',
    'é',
    'x'.repeat(256),
    'a, b',
    '"a";',
    '"a" ;v=1',
    '"a";V=1',
    '"a";v=',
    '"a";v="',
    '"a", "b"',
    '"a";v=1, "b"',
    '"a";v=\u00e9',
  ])('refuses %j by the name of the header', (header) => {
    expect(() => idempotencyKeyOf(header)).toThrow(ProblemError);
    expect(() => idempotencyKeyOf(header)).toThrow(/^Idempotency-Key takes one key of 1 to 255/);
  });
});

describe('a required Idempotency-Key', () => {
  it('is taken when it is there and refused when it is not', () => {
    expect(idempotencyKeyOf('cart-77', true)).toBe('cart-77');
    expect(() => idempotencyKeyOf(undefined, true)).toThrow('Idempotency-Key is required');
  });
});

describe('the id of a command', () => {
  it('is a UUID of version 8, the same every time', () => {
    const id = commandIdOf('development', 'order.place', '', 'cart-77');
    expect(CommandId.parse(id)).toBe(id);
    expect(id).toMatch(/^.{14}8.{4}[89ab]/);
    expect(commandIdOf('development', 'order.place', '', 'cart-77')).toBe(id);
  });

  it('differs when the subject, the operation, the order or the key differs', () => {
    const parts = fc.tuple(fc.string(), fc.string(), fc.string(), fc.string());
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        fc.pre(a.some((part, i) => part !== b[i]));
        return commandIdOf(...a) !== commandIdOf(...b);
      }),
    );
  });

  it('keeps its parts apart', () => {
    expect(commandIdOf('a', 'b', 'c', 'd')).not.toBe(commandIdOf('ab', '', 'c', 'd'));
    expect(commandIdOf('a","b', 'x', '', '')).not.toBe(commandIdOf('a', 'b","x', '', ''));
  });
});
