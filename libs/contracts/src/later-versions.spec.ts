import { readIgnoringUnknown } from './later-versions.ts';
import { OrderPlaced } from './order-events.ts';
import { AuthoriseJob } from './payment-jobs.ts';

const placed = {
  customerId: 'c-42',
  currency: 'EUR',
  lines: [{ id: 1, sku: 'A-1', quantity: 2, unitPrice: 1250 }],
  adjustments: [],
  total: 2500,
  delivery: 'standard',
  payment: { method: 'card' },
};

describe('what a later version has written', () => {
  it('is read without the fields that are not known yet, at every depth', () => {
    const later = { ...placed, giftWrap: true, lines: [{ ...placed.lines[0], colour: 'red' }] };
    expect(readIgnoringUnknown(OrderPlaced, later)).toEqual({ success: true, data: placed });
    expect(later).toHaveProperty('giftWrap');
  });

  it('is refused when anything else is wrong with it', () => {
    const { error } = readIgnoringUnknown(OrderPlaced, { ...placed, giftWrap: true, total: -1 });
    expect(error?.issues.map(({ code }) => code)).toContain('too_small');
  });

  it('may be a payment job, which an earlier worker does without the new fields', () => {
    const job = {
      orderId: '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10',
      amount: 2500,
      currency: 'EUR',
      method: 'card',
      delivery: 'standard',
      since: '2026-01-01T00:00:00.000Z',
    };
    expect(AuthoriseJob.parse({ ...job, installments: 3 })).toEqual(job);
  });
});
