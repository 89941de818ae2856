import type { RevenueBucket, Summary } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { OrderEvent } from '@tandem/contracts/order-events';

type Counted = { orderId: string; at: Date; event: OrderEvent };
type OfType<T extends OrderEvent['type']> = Counted & { event: Extract<OrderEvent, { type: T }> };

/** A plain recount, one event after the other, by which projections are judged. It shares no code with them. */
export function recount(
  events: readonly Counted[],
): Pick<Summary, 'orders' | 'revenue' | 'refunds'> & Record<'minutes' | 'hours' | 'days', RevenueBucket[]> {
  const of = <T extends OrderEvent['type']>(type: T) =>
    events.filter((counted): counted is OfType<T> => counted.event.type === type);
  const orders = {
    placed: of('order.placed.v1').length,
    paid: of('order.payment-recorded.v1').length,
    shipped: of('order.shipped.v1').filter(({ event }) => event.data.complete).length,
    delivered: of('order.delivered.v1').length,
    cancelled: of('order.cancelled.v1').length,
  };
  const money = events.flatMap(({ at, event }) => {
    const time = at.toISOString();
    if (event.type === 'order.placed.v1')
      return [
        { time, currency: event.data.currency, placed: 1, placedAmount: event.data.total, gross: 0, refunded: 0 },
      ];
    const { currency, amount } = event.data as { currency: Currency; amount: number };
    if (event.type === 'order.payment-recorded.v1')
      return [{ time, currency, placed: 0, placedAmount: 0, gross: amount, refunded: 0 }];
    if (event.type === 'order.refund-recorded.v1')
      return [{ time, currency, placed: 0, placedAmount: 0, gross: 0, refunded: amount }];
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
  const buckets = (start: (time: string) => string) =>
    groups(({ time, currency }) => `${start(time)} ${currency}`).map(({ name, ...sums }) => {
      const [from = '', currency] = name.split(' ');
      return { start: from, currency: currency as Currency, ...sums };
    });
  const asked = Map.groupBy(of('order.refund-requested.v1'), ({ event }) => event.data.currency);
  const given = Map.groupBy(of('order.refund-recorded.v1'), ({ event }) => event.data.currency);
  const refused = Map.groupBy(of('order.refund-declined.v1'), ({ event }) => event.data.currency);
  const closed = Map.groupBy(of('order.refund-closed.v1'), ({ event }) => event.data.currency);
  const amount = (rows: { event: { data: { amount: number } } }[] = []) =>
    rows.reduce((total, { event }) => total + event.data.amount, 0);
  return {
    orders,
    revenue: groups(({ currency }) => currency).map(({ name, placed, ...sums }) => {
      const averageOrder = placed === 0 ? 0 : Math.floor(sums.placedAmount / placed);
      return { currency: name as Currency, averageOrder, ...sums };
    }),
    refunds: [...new Set([asked, given, refused, closed].flatMap((each) => [...each.keys()]))]
      .sort()
      .map((currency) => ({
        currency,
        requested: asked.get(currency)?.length ?? 0,
        requestedAmount: amount(asked.get(currency)),
        recorded: given.get(currency)?.length ?? 0,
        recordedAmount: amount(given.get(currency)),
        declined: refused.get(currency)?.length ?? 0,
        declinedAmount: amount(refused.get(currency)),
        closed: closed.get(currency)?.length ?? 0,
        closedAmount: amount(closed.get(currency)),
      })),
    minutes: buckets((time) => `${time.slice(0, 16)}:00.000Z`),
    hours: buckets((time) => `${time.slice(0, 13)}:00:00.000Z`),
    days: buckets((time) => `${time.slice(0, 10)}T00:00:00.000Z`),
  };
}

/** Why orders were cancelled, and how often. */
export function recountCancellations(events: readonly Counted[]) {
  const why = events.flatMap(({ event }) => (event.type === 'order.cancelled.v1' ? [event.data] : []));
  const counts = (of: typeof why, key: (data: (typeof why)[number]) => string) =>
    [...Map.groupBy(of, key)].map(([name, { length }]) => ({ name, orders: length }));
  return {
    causes: counts(why, ({ cause }) => cause)
      .map(({ name, orders }) => ({ cause: name, orders }))
      .sort((a, b) => (a.cause < b.cause ? -1 : 1)),
    reasons: counts(
      why.filter(({ reason }) => reason !== undefined),
      ({ cause, reason }) => `${cause}/${reason}`,
    )
      .map(({ name, orders }) => ({ cause: name.split('/')[0], reason: name.split('/')[1], orders }))
      .sort((a, b) => b.orders - a.orders || (`${a.cause}/${a.reason}` < `${b.cause}/${b.reason}` ? -1 : 1)),
  };
}

/** How long each order took to its payment and to its last shipment, shortest first, in milliseconds. */
export function recountDurations(events: readonly Counted[]) {
  const placedAt = new Map(
    events.flatMap(({ orderId, at, event }) => (event.type === 'order.placed.v1' ? [[orderId, at]] : [])),
  );
  const took = (reached: (event: OrderEvent) => boolean) =>
    events
      .filter(({ event }) => reached(event))
      .map(({ orderId, at }) => at.getTime() - (placedAt.get(orderId) as Date).getTime())
      .sort((a, b) => a - b);
  return {
    toPay: took(({ type }) => type === 'order.payment-recorded.v1'),
    toShip: took((event) => event.type === 'order.shipped.v1' && event.data.complete),
  };
}

/** Products and customers of each currency, the largest amounts first. */
export function recountTops(events: readonly Counted[]) {
  const placed = events.flatMap(({ event }) => (event.type === 'order.placed.v1' ? [event.data] : []));
  const products = new Map<
    string,
    { currency: string; sku: string; orders: number; quantity: number; amount: number }
  >();
  const customers = new Map<string, { currency: string; customerId: string; orders: number; amount: number }>();
  for (const { currency, customerId, total, lines } of placed) {
    const customer = customers.get(`${currency}/${customerId}`) ?? { currency, customerId, orders: 0, amount: 0 };
    customers.set(`${currency}/${customerId}`, customer);
    customer.orders += 1;
    customer.amount += total;
    for (const sku of new Set(lines.map((line) => line.sku))) {
      const product = products.get(`${currency}/${sku}`) ?? { currency, sku, orders: 0, quantity: 0, amount: 0 };
      products.set(`${currency}/${sku}`, product);
      product.orders += 1;
      for (const line of lines.filter((each) => each.sku === sku)) {
        product.quantity += line.quantity;
        product.amount += line.quantity * line.unitPrice;
      }
    }
  }
  const ranked = <T extends { currency: string; amount: number }>(rows: Map<string, T>) =>
    [...rows]
      .sort(([a, x], [b, y]) =>
        x.currency < y.currency ? -1 : x.currency > y.currency ? 1 : y.amount - x.amount || (a < b ? -1 : 1),
      )
      .map(([, row]) => row);
  return { products: ranked(products), customers: ranked(customers) };
}
