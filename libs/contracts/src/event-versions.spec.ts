import fc from 'fast-check';
import { EventVersions, ORDER_EVENT_VERSIONS } from './event-versions.ts';
import { FIRST_PLACED, SECOND_PLACED, VERSIONS_WITH_FORMER } from './former-versions.testing.ts';
import { ORDER_EVENT_TYPES, OrderEvent } from './order-events.ts';

const origin = { orderId: '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10', version: 1, at: new Date(0) };

describe('a stored event of a former version', () => {
  it('is carried from version to version until it is one of today', () => {
    const first = { customer: 'c-42', sku: 'A-1', cents: 1_250 };
    expect(VERSIONS_WITH_FORMER.schemaOf('order.placed.draft-1')?.parse(first)).toEqual(first);
    expect(VERSIONS_WITH_FORMER.upcast('order.placed.draft-1', first, origin)).toEqual({
      type: 'order.placed.v1',
      data: {
        customerId: 'c-42',
        currency: 'EUR',
        lines: [{ id: 1, sku: 'A-1', quantity: 1, unitPrice: 1_250 }],
        adjustments: [],
        total: 1_250,
        delivery: 'standard',
        payment: { method: 'card' },
      },
    });
  });

  it('is always one that the schema of today takes, and says the same money', () => {
    const line = fc.record({
      sku: fc.string({ unit: fc.constantFrom(...'AB-12'), minLength: 1, maxLength: 64 }),
      quantity: fc.integer({ min: 1, max: 1_000 }),
      unitPrice: fc.integer({ min: 0, max: 1_000_000 }),
    });
    const placed = fc.record({
      customerId: fc.constantFrom('c-1', 'c-2'),
      currency: fc.constantFrom('EUR', 'JPY'),
      lines: fc.array(line, { minLength: 1, maxLength: 5 }),
    });
    fc.assert(
      fc.property(placed, (data) => {
        expect(SECOND_PLACED.data.safeParse(data).success).toBe(true);
        const event = OrderEvent.parse(VERSIONS_WITH_FORMER.upcast('order.placed.draft-2', data, origin));
        const sum = data.lines.reduce((total, { quantity, unitPrice }) => total + quantity * unitPrice, 0);
        expect(event).toMatchObject({ type: 'order.placed.v1', data: { total: sum, currency: data.currency } });
      }),
    );
  });

  it('is left as it is when it is of today already', () => {
    const data = { reason: 'no funds' };
    const event = VERSIONS_WITH_FORMER.upcast('order.payment-declined.v1', data, origin);
    expect(event).toEqual({ type: 'order.payment-declined.v1', data });
    expect(event.data).toBe(data);
  });
});

describe('the list of versions', () => {
  it('knows every type of today, the former ones before them, and no other', () => {
    expect(VERSIONS_WITH_FORMER.types).toEqual(['order.placed.draft-1', 'order.placed.draft-2', ...ORDER_EVENT_TYPES]);
    for (const type of ORDER_EVENT_TYPES) expect(ORDER_EVENT_VERSIONS.schemaOf(type)).toBeDefined();
    expect(ORDER_EVENT_VERSIONS.schemaOf('order.eaten.v1')).toBeUndefined();
  });

  it('refuses a type that is listed twice', () => {
    expect(() => new EventVersions([SECOND_PLACED, SECOND_PLACED])).toThrow('two schemas of order.placed.draft-2');
    expect(() => new EventVersions([{ ...SECOND_PLACED, type: 'order.placed.v1' }])).toThrow('order.placed.v1');
  });

  it('refuses a version that leads nowhere', () => {
    expect(() => new EventVersions([FIRST_PLACED])).toThrow('leads to order.placed.draft-2, which is no type of today');
  });

  it('refuses a circle', () => {
    const circle = [FIRST_PLACED, { ...SECOND_PLACED, next: FIRST_PLACED.type }];
    expect(() => new EventVersions(circle)).toThrow('leads back to itself');
  });
});
