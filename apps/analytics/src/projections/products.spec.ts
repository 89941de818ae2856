import { describe, expect, it } from '@jest/globals';
import type { OrderEvent } from '@tandem/contracts/order-events';
import { paid, placed } from '../histories.testing.ts';
import { at } from './counted-events.testing.ts';
import { fold } from './products.ts';

const TIME = '2026-01-01T00:00:00.000Z';
type Lines = Extract<OrderEvent, { type: 'order.placed.v1' }>['data']['lines'];

/** An order of some lines, with shipping on top. */
function ordered(lines: Omit<Lines[number], 'id'>[], currency: 'EUR' | 'JPY' = 'EUR'): OrderEvent {
  const order = placed(currency, 12_345) as Extract<OrderEvent, { type: 'order.placed.v1' }>;
  const numbered = lines.map((line, index) => ({ id: index + 1, ...line }));
  return { ...order, data: { ...order.data, lines: numbered, adjustments: [{ kind: 'shipping', amount: 490 }] } };
}

describe('the products of a day', () => {
  it('are worth quantity × unit price, whatever was added to the order', () => {
    const order = ordered([
      { sku: 'A-1', quantity: 2, unitPrice: 1_250 },
      { sku: 'B-2', quantity: 1, unitPrice: 99 },
    ]);
    expect(fold([at(TIME, order)])).toMatchObject([
      { sku: 'A-1', orders: 1, quantity: 2, amount: 2_500n },
      { sku: 'B-2', orders: 1, quantity: 1, amount: 99n },
    ]);
  });

  it('are of one order each, in how many lines it may name them', () => {
    const order = ordered([
      { sku: 'A-1', quantity: 2, unitPrice: 100 },
      { sku: 'A-1', quantity: 1, unitPrice: 90 },
    ]);
    expect(fold([at(TIME, order), at(TIME, order)])).toMatchObject([{ orders: 2, quantity: 6, amount: 580n }]);
  });

  it('belong to the day of the placing, in UTC, however late it comes', () => {
    const order = ordered([{ sku: 'A-1', quantity: 1, unitPrice: 1 }]);
    const times = ['2026-01-03T00:00:00.000Z', '2026-01-02T23:59:59.999Z', '2026-01-03T23:59:59.999Z'];
    expect(
      fold(times.map((time) => at(time, order))).map(({ day, orders }) => [new Date(day).toISOString(), orders]),
    ).toEqual([
      ['2026-01-03T00:00:00.000Z', 2],
      ['2026-01-02T00:00:00.000Z', 1],
    ]);
  });

  it('are ranked by currency, so they are kept by it; and only placings count', () => {
    const lines = [{ sku: 'A-1', quantity: 1, unitPrice: 5 }];
    const rows = fold([at(TIME, ordered(lines)), at(TIME, ordered(lines, 'JPY')), at(TIME, paid('EUR', 5))]);
    expect(rows.map(({ currency, orders }) => [currency, orders])).toEqual([
      ['EUR', 1],
      ['JPY', 1],
    ]);
  });

  it('are exact where the product of quantity and price passes what a number can hold', () => {
    const most = Number.MAX_SAFE_INTEGER;
    const [row] = fold([at(TIME, ordered([{ sku: 'A-1', quantity: 1_001, unitPrice: most }]))]);
    expect(row?.amount).toBe(1_001n * BigInt(most));
  });
});
