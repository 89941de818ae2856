import type { PoolClient } from 'pg';
import type { CountedEvent } from '../consumer/read-record.ts';

/** What a batch of events adds to one projection: folded in memory, then written in one statement. */
export interface Fold {
  apply(event: CountedEvent): void;
  /** Adds what was folded to the rows of a partition, in the transaction that moves its offset. */
  write(client: PoolClient, partition: number): Promise<void>;
}

/** Makes an empty fold. */
export type Projection = () => Fold;

/** Sums of money in minor units, and how many orders were placed. */
export interface RevenueSums {
  placed: number;
  placedAmount: bigint;
  gross: bigint;
  refunded: bigint;
}

/** Adds what an event says about money to the sums of its currency, which `sumsOf` finds. Most events say nothing. */
export function addRevenue({ event }: CountedEvent, sumsOf: (currency: string) => RevenueSums): void {
  switch (event.type) {
    case 'order.placed.v1': {
      const sums = sumsOf(event.data.currency);
      sums.placed += 1;
      sums.placedAmount += BigInt(event.data.total);
      return;
    }
    case 'order.payment-recorded.v1':
      sumsOf(event.data.currency).gross += BigInt(event.data.amount);
      return;
    case 'order.refund-recorded.v1':
      sumsOf(event.data.currency).refunded += BigInt(event.data.amount);
      return;
  }
}

export const noRevenue = (): RevenueSums => ({ placed: 0, placedAmount: 0n, gross: 0n, refunded: 0n });
