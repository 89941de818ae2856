import { z } from 'zod';
import { CancelOrder, PlaceOrder, RecordDecline, RefundOrder, ShipOrder } from './order-commands.ts';
import { OrderPlaced } from './order-events.ts';
import { OrderFilter } from './order-queries.ts';
import { identifier, newIdentifier, newText, storableText, text } from './text.ts';

/** Why a schema refuses a value, undefined if it does not. */
const faultOf = (schema: z.ZodType, value: unknown) => schema.safeParse(value).error?.issues[0]?.message;

describe('an identifier in a command', () => {
  const Identifier = newIdentifier(64);

  it.each([
    ['in Normalization Form D', 'cafe\u0301', 'is not in Unicode Normalization Form C'],
    ['with a compatibility singleton', '\u212bngström', 'is not in Unicode Normalization Form C'],
    ['with a zero-width space', 'c-\u200b42', 'holds an invisible character, U+200B'],
    ['with a zero-width joiner', 'c-\u200d42', 'holds an invisible character, U+200D'],
    ['with a soft hyphen', 'c\u00ad42', 'holds an invisible character, U+00AD'],
    ['with a byte order mark', '\ufeffc-42', 'holds an invisible character, U+FEFF'],
    ['with a Hangul filler', 'c\u3164', 'holds an invisible character, U+3164'],
    ['with blank Braille', '\u2800', 'holds an invisible character, U+2800'],
    ['with a tag character', 'c\u{e0041}', 'holds an invisible character, U+E0041'],
    ['with a variation selector', 'c\ufe0f', 'holds an invisible character, U+FE0F'],
    ['with an interlinear annotation', 'c\ufff9', 'holds an invisible character, U+FFF9'],
    ['with a line separator', 'c\u202842', 'holds an invisible character, U+2028'],
    ['with a right-to-left override', 'c-\u202e42', 'holds a bidirectional control character, U+202E'],
    ['with a left-to-right mark', 'c-42\u200e', 'holds a bidirectional control character, U+200E'],
    ['with an isolate', '\u2066c\u2069', 'holds a bidirectional control character, U+2066'],
    ['with a space before it', ' c-42', 'begins or ends with a space'],
    ['with a space behind it', 'c-42 ', 'begins or ends with a space'],
    ['with a no-break space behind it', 'c-42\u00a0', 'begins or ends with a space'],
    ['with an ideographic space before it', '\u3000c-42', 'begins or ends with a space'],
    ['of a space', ' ', 'begins or ends with a space'],
    ['with a line break', 'c\n42', 'holds a control character, U+000A'],
    ['with NUL', 'c\u0000', 'holds a control character, U+0000'],
    ['with a C1 control character', 'c\u0085', 'holds a control character, U+0085'],
    ['with half of a surrogate pair', 'c\ud83d', 'is not well-formed Unicode: it holds half of a surrogate pair'],
  ])('is refused %s', (_what, value, reason) => expect(faultOf(Identifier, value)).toBe(reason));

  it.each(['c-42', 'a b', '~', 'Änderung', '訂單-1', '😀', 'हिन्दी', 'עברית', 'العربية', 'x\u0323\u0302'.normalize()])(
    'may be %j',
    (value) => expect(faultOf(Identifier, value)).toBeUndefined(),
  );

  it('is held to the bound of its length', () => {
    expect(faultOf(Identifier, 'x'.repeat(64))).toBeUndefined();
    expect(faultOf(Identifier, 'x'.repeat(65))).toMatch('<=64');
    expect(faultOf(Identifier, '')).toMatch('>=1');
  });
});

describe('free text in a command', () => {
  it.each([
    ['a right-to-left override', 'refund \u202eevas', 'holds a character that overrides the direction of text, U+202E'],
    ['an escape sequence', 'red \u001b[31m', 'holds a control character, U+001B'],
    ['a C1 control character', 'a\u009bb', 'holds a control character, U+009B'],
    ['half of a surrogate pair', 'é\ud83d', 'is not well-formed Unicode: it holds half of a surrogate pair'],
  ])('is refused with %s', (_what, value, reason) => expect(faultOf(newText(500), value)).toBe(reason));

  it.each(['two\r\nlines\tand a tab', 'می\u200cخواهم', '👩\u200d🚀', 'cafe\u0301', ' \u2068Ada\u2069 '])(
    'may be %j, as some writing systems need it',
    (value) => expect(faultOf(newText(500), value)).toBeUndefined(),
  );
});

describe('what commands refuse', () => {
  const order = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };
  const placed = {
    ...order,
    lines: [{ id: 1, ...order.lines[0] }],
    adjustments: [],
    total: 2500,
    delivery: 'standard',
  };
  const odd = 'cafe\u0301\u200b ';

  it.each<[string, z.ZodType, object]>([
    ['customerId', PlaceOrder, { ...order, customerId: odd }],
    ['reference', PlaceOrder, { ...order, reference: odd }],
    ['lines.0.sku', PlaceOrder, { ...order, lines: [{ ...order.lines[0], sku: odd }] }],
    [`metadata.${odd}`, PlaceOrder, { ...order, metadata: { [odd]: 'x' } }],
    ['metadata.note', PlaceOrder, { ...order, metadata: { note: 'a\u202eb' } }],
    ['carrier', ShipOrder, { carrier: odd, trackingCode: 't-1' }],
    ['trackingCode', ShipOrder, { carrier: 'dhl', trackingCode: odd }],
    ['reason', CancelOrder, { reason: 'a\u202eb' }],
    ['reason', RefundOrder, { reason: 'a\u202eb' }],
  ])('is refused at %s', (path, schema, body) => {
    expect(schema.safeParse(body).error?.issues.map((issue) => issue.path.join('.'))).toEqual([path]);
  });

  it('stays readable where it was stored before, and can be searched for', () => {
    const stored = {
      ...placed,
      customerId: odd,
      reference: odd,
      payment: { method: 'card' },
      metadata: { [odd]: odd },
    };
    expect(faultOf(OrderPlaced, stored)).toBeUndefined();
    expect(faultOf(OrderFilter, { customerId: odd, reference: odd })).toBeUndefined();
  });

  it('is taken in the words of the payment provider, which report what has happened', () => {
    expect(faultOf(RecordDecline, { reason: 'a\u202eb' })).toBeUndefined();
  });
});

describe('the patterns of texts', () => {
  it.each(
    [identifier(64), newIdentifier(64), text(500), newText(500)].map((schema) => z.toJSONSchema(schema).pattern ?? ''),
  )('%s means the same with and without the flag u', (pattern) => {
    const samples = ['c-42', 'pCcs{}', '😀', 'é', 'a\nb', 'a\u0000', '\u0085', '訂單', '\\', 'A-1'];
    const [plain, unicode] = [new RegExp(pattern), new RegExp(pattern, 'u')];
    for (const sample of samples) expect([sample, plain.test(sample)]).toEqual([sample, unicode.test(sample)]);
    expect(['c-42', '😀'].map((sample) => plain.test(sample))).toEqual([true, true]);
  });
});

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
