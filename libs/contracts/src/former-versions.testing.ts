import { z } from 'zod';
import { EventVersions, type FormerVersion } from './event-versions.ts';
import { Amount, Currency } from './money.ts';
import { identifier } from './text.ts';

// Two versions of an order's placing that were never published, for tests of what reads former versions: the first had one
// line and no currency, the second several lines and neither adjustments nor delivery nor payment.

const FirstPlaced = z.strictObject({ customer: identifier(64), sku: identifier(64), cents: Amount });
const SecondPlaced = z.strictObject({
  customerId: identifier(64),
  currency: Currency,
  lines: z.array(z.strictObject({ sku: identifier(64), quantity: z.int().min(1), unitPrice: Amount })),
});

export const FIRST_PLACED = {
  type: 'order.placed.draft-1',
  data: FirstPlaced,
  next: 'order.placed.draft-2',
  upcast: ({ customer, sku, cents }: z.infer<typeof FirstPlaced>): z.infer<typeof SecondPlaced> => {
    return { customerId: customer, currency: 'EUR', lines: [{ sku, quantity: 1, unitPrice: cents }] };
  },
} satisfies FormerVersion;

export const SECOND_PLACED = {
  type: 'order.placed.draft-2',
  data: SecondPlaced,
  next: 'order.placed.v1',
  upcast: ({ lines, ...data }: z.infer<typeof SecondPlaced>) => ({
    ...data,
    lines: lines.map((line, index) => ({ id: index + 1, ...line })),
    adjustments: [],
    total: lines.reduce((total, { quantity, unitPrice }) => total + quantity * unitPrice, 0),
    delivery: 'standard',
    payment: { method: 'card' },
  }),
} satisfies FormerVersion;

/** The versions of today, and those two before them. */
export const VERSIONS_WITH_FORMER = new EventVersions([FIRST_PLACED, SECOND_PLACED]);
