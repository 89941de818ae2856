import type { LineQuantity, OrderState } from './order.ts';

/**
 * What each line costs with its share of the adjustments: the order's total, split in proportion to the lines' prices. By the
 * method of the largest remainder, so the amounts are whole minor units that add up to the total; of equal remainders the
 * first line's counts as larger. Lines that all cost nothing share by their quantities.
 *
 * @returns by line id. A `bigint`, because a quantity times a price may be past 2^53 − 1.
 */
export function lineAmounts({ lines, total }: Pick<OrderState, 'lines' | 'total'>): Map<number, bigint> {
  const prices = lines.map(({ quantity, unitPrice }) => BigInt(quantity) * BigInt(unitPrice));
  const weights = prices.some((price) => price > 0n) ? prices : lines.map(({ quantity }) => BigInt(quantity));
  const sum = weights.reduce((all, weight) => all + weight, 0n);
  const shares = lines.map(({ id }, index) => {
    const exact = BigInt(total) * (weights[index] as bigint);
    return { id, amount: exact / sum, remainder: exact % sum };
  });
  const amounts = new Map(shares.map(({ id, amount }) => [id, amount]));
  const left = BigInt(total) - shares.reduce((all, { amount }) => all + amount, 0n);
  const largestFirst = shares.sort((a, b) => Number(b.remainder > a.remainder) - Number(b.remainder < a.remainder));
  for (const { id, amount } of largestFirst.slice(0, Number(left))) amounts.set(id, amount + 1n);
  return amounts;
}

/** What so many pieces of each line cost: of a line that does not divide evenly, the first pieces cost one unit more. */
export function amountOf(pieces: readonly LineQuantity[], order: Pick<OrderState, 'lines' | 'total'>): bigint {
  const amounts = lineAmounts(order);
  const quantities = new Map(order.lines.map(({ id, quantity }) => [id, BigInt(quantity)]));
  return pieces.reduce((sum, { id, quantity }) => {
    const [amount, all, some] = [amounts.get(id) ?? 0n, quantities.get(id) ?? 1n, BigInt(quantity)];
    const odd = amount % all;
    return sum + (amount / all) * some + (some < odd ? some : odd);
  }, 0n);
}
