import type { Summary } from '@tandem/contracts/analytics-queries';
import type { Currency } from '@tandem/contracts/money';
import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';
import { rowOf, toSafeInteger } from '../queries/too-large.ts';
import { readSums, type Projection } from './projection.ts';

const WHAT_BECAME = ['requested', 'recorded', 'declined', 'closed'] as const;
type WhatBecame = (typeof WHAT_BECAME)[number];
type Sums = Record<WhatBecame, { refunds: number; amount: bigint }>;

/**
 * Refunds by currency, since the beginning: requested, recorded, declined, closed. A declined refund may be requested again, as a
 * new one, or be closed: each of these is counted.
 */
export const refunds: Projection = {
  name: 'refunds',
  version: 1,
  tables: ['refunds'],

  async apply(client, partition, events) {
    const currencies = fold(events);
    if (currencies.size === 0) return;
    const sums = [...currencies.values()];
    await client.query({
      name: 'write-refunds',
      text: `insert into refunds as r (partition, currency, requested, requested_amount, recorded, recorded_amount,
                                       declined, declined_amount, closed, closed_amount)
             select $1, * from unnest($2::text[], $3::bigint[], $4::numeric[], $5::bigint[], $6::numeric[],
                                      $7::bigint[], $8::numeric[], $9::bigint[], $10::numeric[])
             on conflict (partition, currency) do update set
               requested = r.requested + excluded.requested,
               requested_amount = r.requested_amount + excluded.requested_amount,
               recorded = r.recorded + excluded.recorded,
               recorded_amount = r.recorded_amount + excluded.recorded_amount,
               declined = r.declined + excluded.declined,
               declined_amount = r.declined_amount + excluded.declined_amount,
               closed = r.closed + excluded.closed,
               closed_amount = r.closed_amount + excluded.closed_amount`,
      values: [
        partition,
        [...currencies.keys()],
        ...WHAT_BECAME.flatMap((what) => [
          sums.map((each) => each[what].refunds),
          sums.map((each) => each[what].amount),
        ]),
      ],
    });
  },

  async totals(client) {
    const sums = await readSums(client, {
      name: 'refunds-totals',
      text: `select sum(requested) as requested, sum(requested_amount) as requested_amount, sum(recorded) as recorded,
                    sum(recorded_amount) as recorded_amount, sum(declined) as declined,
                    sum(declined_amount) as declined_amount, sum(closed) as closed, sum(closed_amount) as closed_amount
               from refunds`,
    });
    return { sums, quantiles: {} };
  },
};

/** What the events add to each currency. */
export function fold(events: readonly CountedEvent[]): Map<string, Sums> {
  const currencies = new Map<string, Sums>();
  const add = (what: WhatBecame, { currency, amount }: { currency: string; amount: number }) => {
    let sums = currencies.get(currency);
    if (sums === undefined) currencies.set(currency, (sums = nothing()));
    sums[what].refunds += 1;
    sums[what].amount += BigInt(amount);
  };
  for (const { event } of events) {
    switch (event.type) {
      case 'order.refund-requested.v1':
        add('requested', event.data);
        break;
      case 'order.refund-recorded.v1':
        add('recorded', event.data);
        break;
      case 'order.refund-declined.v1':
        add('declined', event.data);
        break;
      case 'order.refund-closed.v1':
        add('closed', event.data);
        break;
    }
  }
  return currencies;
}

const nothing = (): Sums => ({
  requested: { refunds: 0, amount: 0n },
  recorded: { refunds: 0, amount: 0n },
  declined: { refunds: 0, amount: 0n },
  closed: { refunds: 0, amount: 0n },
});

/** Over all partitions, of one currency or of each. @throws TooLargeError of a count */
export async function readRefunds(client: PoolClient, currency?: string): Promise<Summary['refunds']> {
  const { rows } = await client.query<Record<'currency' | WhatBecame | `${WhatBecame}_amount`, string>>({
    name: 'read-refunds',
    text: `select currency, sum(requested) as requested, sum(requested_amount) as requested_amount,
                  sum(recorded) as recorded, sum(recorded_amount) as recorded_amount,
                  sum(declined) as declined, sum(declined_amount) as declined_amount,
                  sum(closed) as closed, sum(closed_amount) as closed_amount
             from refunds where $1::text is null or currency = $1 group by currency order by currency collate "C"`,
    values: [currency ?? null],
  });
  return rows.map((row) => ({
    currency: row.currency as Currency,
    requested: toSafeInteger(row.requested, `the number of refunds requested in ${row.currency}`),
    recorded: toSafeInteger(row.recorded, `the number of refunds in ${row.currency}`),
    declined: toSafeInteger(row.declined, `the number of refunds declined in ${row.currency}`),
    closed: toSafeInteger(row.closed, `the number of refunds closed in ${row.currency}`),
    ...rowOf({
      requestedAmount: row.requested_amount,
      recordedAmount: row.recorded_amount,
      declinedAmount: row.declined_amount,
      closedAmount: row.closed_amount,
    }),
  }));
}
