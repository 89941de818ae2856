import { recount, type Recount } from './recount.testing.ts';
import type { System } from './system.testing.ts';
import { until } from './waiting.testing.ts';

export interface Summary {
  orders: { placed: number; cancelled: number };
  revenue: { currency: string; placedAmount: number }[];
  position: number;
  parked: number;
}

/** What analytics says through the gateway. */
export async function summaryOf(gatewayUrl: string): Promise<Summary> {
  const response = await fetch(`${gatewayUrl}/v1/analytics/summary`, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`The summary answers ${response.status}: ${await response.text()}`);
  return (await response.json()) as Summary;
}

/**
 * The end of every fault test: each key has exactly one order, the log holds the whole table with its chains unbroken, and
 * analytics says what a recount by other code says.
 *
 * @returns that recount
 */
export async function expectNothingLostAndNothingTwice(
  system: System,
  gatewayUrl: string,
  placed: ReadonlyMap<string, { id: string }>,
): Promise<Recount> {
  const { POSTGRES_URL = '', KAFKA_BROKERS = '', NAMESPACE = '' } = system.environment;
  expect(new Set([...placed.values()].map(({ id }) => id)).size).toBe(placed.size);
  const addresses = { postgresUrl: POSTGRES_URL, kafkaBrokers: KAFKA_BROKERS, namespace: NAMESPACE };
  let count: Recount | undefined;
  await until(
    'the log holds the whole table',
    async () => {
      count = await recount(addresses);
      return true;
    },
    { timeoutMs: 60_000, everyMs: 500 },
  );
  const expected = count as unknown as Recount;
  let summary = {} as Summary;
  await until('analytics has counted it all', async () => {
    summary = await summaryOf(gatewayUrl);
    return summary.position >= expected.position;
  });
  expect(summary.position).toBe(expected.position);
  expect(summary.orders).toMatchObject({ placed: expected.placed, cancelled: expected.cancelled });
  const revenue = expected.placed === 0 ? [] : [{ currency: 'EUR', placedAmount: expected.placedAmount }];
  expect(summary.revenue).toMatchObject(revenue);
  expect(expected.placed).toBe(placed.size);
  return expected;
}
