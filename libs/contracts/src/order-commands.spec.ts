import { CancelOrderMessage, CommandId, PlaceOrder } from './order-commands.ts';
import { OrderId } from './order.ts';

const order = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };

/** The paths at which the contract refuses a body. */
function refusedAt(changes: object): string[] {
  const parsed = PlaceOrder.safeParse({ ...order, ...changes });
  return parsed.success ? [] : parsed.error.issues.map((issue) => issue.path.join('.'));
}
const line = (changes: object) => ({ lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250, ...changes }] });

describe('the contract of an order', () => {
  it('fills in what may be left out', () => {
    expect(PlaceOrder.parse(order)).toEqual({
      ...order,
      adjustments: [],
      delivery: 'standard',
      payment: { method: 'card' },
    });
  });

  it.each([
    ['no customer', { customerId: undefined }, 'customerId'],
    ['a customer with NUL in it', { customerId: 'c\u0000' }, 'customerId'],
    ['half a surrogate pair', { customerId: 'c\ud83d' }, 'customerId'],
    ['a control character in a reference', { reference: 'a\nb' }, 'reference'],
    ['a customer that is too long', { customerId: 'c'.repeat(65) }, 'customerId'],
    ['a currency that is none', { currency: 'EUX' }, 'currency'],
    ['a currency in small letters', { currency: 'eur' }, 'currency'],
    ['no lines', { lines: [] }, 'lines'],
    ['too many lines', { lines: Array.from({ length: 101 }, () => order.lines[0]) }, 'lines'],
    ['a quantity of zero', line({ quantity: 0 }), 'lines.0.quantity'],
    ['a negative quantity', line({ quantity: -1 }), 'lines.0.quantity'],
    ['a fractional quantity', line({ quantity: 1.5 }), 'lines.0.quantity'],
    ['a quantity as text', line({ quantity: '2' }), 'lines.0.quantity'],
    ['a price past the safe range', line({ unitPrice: 2 ** 53 }), 'lines.0.unitPrice'],
    ['lines that add up past the safe range', line({ quantity: 1_000_000, unitPrice: 2 ** 52 }), 'lines'],
    ['a discount that adds', { adjustments: [{ kind: 'discount', amount: 1 }] }, 'adjustments.0.amount'],
    ['shipping that takes away', { adjustments: [{ kind: 'shipping', amount: -1 }] }, 'adjustments.0.amount'],
    ['a discount larger than the order', { adjustments: [{ kind: 'discount', amount: -2501 }] }, 'adjustments'],
    ['an expected total below zero', { expectedTotal: -1 }, 'expectedTotal'],
    ['a payment by barter', { payment: { method: 'barter' } }, 'payment.method'],
    ['metadata that is no text', { metadata: { channel: 1 } }, 'metadata.channel'],
    ['a line with an id of its own', line({ id: 1 }), 'lines.0'],
  ])('refuses %s, and says where', (_what, changes, path) => {
    expect(refusedAt(changes)).toContain(path);
  });

  it('says nothing of the sum where a line is wrong', () => {
    expect(refusedAt(line({ quantity: -1 }))).toEqual(['lines.0.quantity']);
  });

  it('refuses more than 20 entries of metadata', () => {
    const metadata = Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`k${index}`, 'v']));
    expect(refusedAt({ metadata })).toEqual(['metadata']);
  });

  it('refuses a field that it does not know, by its name', () => {
    const parsed = PlaceOrder.safeParse({ ...order, customer: 'c-42' });
    expect(parsed.error?.issues).toMatchObject([{ code: 'unrecognized_keys', keys: ['customer'] }]);
  });

  it('takes text in any script', () => {
    expect(refusedAt({ customerId: 'Änderung-訂單-😀', metadata: { note: 'first line\nsecond line' } })).toEqual([]);
  });
});

describe('the ids of commands and orders', () => {
  const upper = '0197C6F0-5B7A-7CC3-9A51-3F1F6F3C2B10';

  it('are the same in capital letters, as the database has it', () => {
    expect(CommandId.parse(upper)).toBe(upper.toLowerCase());
    expect(OrderId.parse(upper)).toBe(upper.toLowerCase());
    expect(CancelOrderMessage.parse({ commandId: upper, orderId: upper, body: {} })).toEqual({
      commandId: upper.toLowerCase(),
      orderId: upper.toLowerCase(),
      body: {},
    });
  });
});
