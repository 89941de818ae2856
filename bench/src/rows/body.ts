/** What every row is sent: one order of two lines, as the API takes it. */
export const ORDER = {
  customerId: 'c-42',
  currency: 'EUR',
  lines: [
    { sku: 'A-1', quantity: 2, unitPrice: 1250 },
    { sku: 'B-7', quantity: 1, unitPrice: 990 },
  ],
  adjustments: [{ kind: 'shipping', amount: 490 }],
};

/**
 * An order of 50 lines. From 2 KiB on, amqplib writes a message in two pieces, and Nagle's algorithm holds the second back
 * until the first is acknowledged, which the receiver delays by 40 ms.
 */
export const LARGE_ORDER = {
  ...ORDER,
  lines: Array.from({ length: 50 }, (_, line) => ({ sku: `A-${line}`, quantity: 1, unitPrice: 100 })),
};
