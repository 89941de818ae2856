import { storableText, text } from './text.ts';

describe('foreign text that is made storable', () => {
  it.each([
    ['a plain reason', 'a plain reason'],
    ['a\u0000b\u0007c\u009fd', 'a\uFFFDb\uFFFDc\uFFFDd'],
    ['two\r\nlines\tand a tab ', 'two  lines and a tab'],
    ['half \ud83d of a pair', 'half \uFFFD of a pair'],
    ['\udc00', '\uFFFD'],
    [' \n ', ''],
    ['', ''],
  ])('turns %j into %j', (foreign, stored) => expect(storableText(foreign, 500)).toBe(stored));

  it('is cut before an emoji that stands across the bound, and keeps one that ends at it', () => {
    expect(storableText(`${'x'.repeat(499)}😀`, 500)).toBe('x'.repeat(499));
    expect(storableText(`${'x'.repeat(498)}😀`, 500)).toBe(`${'x'.repeat(498)}😀`);
    expect(storableText('😀', 1)).toBe('');
  });

  it('always satisfies the contract of texts of the same bound', () => {
    const units = ['\u0000', '\ud83d', '\ude00', 'x', '\n', 'é'];
    for (let n = 0; n < 6 ** 4; n += 1) {
      const foreign = [0, 1, 2, 3].map((place) => units[Math.floor(n / 6 ** place) % 6]).join('');
      for (const lengthMax of [1, 2, 3, 4]) {
        const stored = storableText(foreign, lengthMax);
        expect(stored === '' || text(lengthMax).safeParse(stored).success).toBe(true);
      }
    }
  });
});
