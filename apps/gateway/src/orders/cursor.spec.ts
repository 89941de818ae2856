import fc from 'fast-check';
import { z } from 'zod';
import { readCursor, writeCursor } from './cursor.ts';

const LIST = ['orders', 'c-42', undefined, undefined];
const LAST = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';

describe('a cursor', () => {
  it('brings back what it was written for', () => {
    fc.assert(fc.property(fc.uuid(), (last) => readCursor(LIST, writeCursor(LIST, last), z.uuid()) === last));
  });

  it('is text that needs no escaping in a URL', () => {
    expect(writeCursor(LIST, LAST)).toMatch(/^[\w-]+$/);
  });

  it('is undefined on the first page', () => {
    expect(readCursor(LIST, undefined, z.uuid())).toBeUndefined();
  });

  it.each([
    ['another customer', ['orders', 'c-43', undefined, undefined]],
    ['another filter', ['orders', 'c-42', 'placed', undefined]],
    ['the same text in another filter', ['orders', undefined, 'c-42', undefined]],
    ['another list', ['events', 'c-42', undefined, undefined]],
  ])('is refused with %s', (_what, list) => {
    expect(() => readCursor(list, writeCursor(LIST, LAST), z.uuid())).toThrow(/^cursor is not a cursor of this list/);
  });

  it('is refused when its item is none, though its digest is right', () => {
    for (const last of ['', '42', "' or 1=1 --", '\u0000'])
      expect(() => readCursor(LIST, writeCursor(LIST, last), z.uuid())).toThrow(/^cursor/);
  });

  it('is refused when any character of it was changed, added or lost', () => {
    const cursor = writeCursor(LIST, LAST);
    fc.assert(
      fc.property(fc.nat(cursor.length - 1), fc.constantFrom('', '-', 'A', 'z', '=', '.', 'AA'), (at, other) => {
        const changed = cursor.slice(0, at) + other + cursor.slice(at + 1);
        fc.pre(changed !== cursor);
        expect(() => readCursor(LIST, changed, z.uuid())).toThrow(/^cursor/);
      }),
    );
  });
});
