import type { RevenueBucket, Summary } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { OrderEvent } from '@tandem/contracts/order-events';

type Counted = { at: Date; event: OrderEvent };

/** A plain recount, one event after the other, by which projections are judged. It shares no code with them. */
export function recount(
  events: readonly Counted[],
): Pick<Summary, 'orders' | 'revenue'> & { minutes: RevenueBucket[] } {
  const of = (type: OrderEvent['type']) => events.filter(({ event }) => event.type === type);
  const orders = {
    placed: of('order.placed.v1').length,
    paid: of('order.payment-recorded.v1').length,
    shipped: of('order.shipped.v1').filter(({ event }) => (event.data as { complete: boolean }).complete).length,
    delivered: of('order.delivered.v1').length,
    cancelled: of('order.cancelled.v1').length,
  };
  const money = events.flatMap(({ at, event }) => {
    const minute = `${at.toISOString().slice(0, 16)}:00.000Z`;
    if (event.type === 'order.placed.v1')
      return [
        { minute, currency: event.data.currency, placed: 1, placedAmount: event.data.total, gross: 0, refunded: 0 },
      ];
    const { currency, amount } = event.data as { currency: Currency; amount: number };
    if (event.type === 'order.payment-recorded.v1')
      return [{ minute, currency, placed: 0, placedAmount: 0, gross: amount, refunded: 0 }];
    if (event.type === 'order.refund-recorded.v1')
      return [{ minute, currency, placed: 0, placedAmount: 0, gross: 0, refunded: amount }];
    return [];
  });
  const sum = (rows: typeof money) => {
    const placed = rows.reduce((total, row) => total + row.placed, 0);
    const placedAmount = rows.reduce((total, row) => total + row.placedAmount, 0);
    const gross = rows.reduce((total, row) => total + row.gross, 0);
    const refunded = rows.reduce((total, row) => total + row.refunded, 0);
    return { placed, placedAmount, gross, refunded, net: gross - refunded };
  };
  const groups = (key: (row: (typeof money)[number]) => string) =>
    [...Map.groupBy(money, key)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, rows]) => ({ name, ...sum(rows) }));
  return {
    orders,
    revenue: groups(({ currency }) => currency).map(({ name, placed, ...sums }) => {
      const averageOrder = placed === 0 ? 0 : Math.floor(sums.placedAmount / placed);
      return { currency: name as Currency, averageOrder, ...sums };
    }),
    minutes: groups(({ minute, currency }) => `${minute} ${currency}`).map(({ name, ...sums }) => {
      const [start = '', currency] = name.split(' ');
      return { start, currency: currency as Currency, ...sums };
    }),
  };
}
