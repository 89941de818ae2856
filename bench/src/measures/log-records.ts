import { ORDER_EVENTS_PARTITIONS } from '@tandem/contracts/topology';
// Raw kafkajs must be given the very records that the relay sends.
// eslint-disable-next-line @nx/enforce-module-boundaries
import {
  nextBatch,
  partitionOf as partitionOfKey,
  type StoredEvent,
} from '../../../apps/orders/src/followers/chain.ts';

export const partitionOf = (orderId: string) => partitionOfKey(orderId, ORDER_EVENTS_PARTITIONS);

/** The records of these events in batches as the relay cuts them: so many events, so many bytes of one partition. */
export function batchesOf(events: readonly StoredEvent[], eventsMax: number, partitionBytesMax: number) {
  const partitions = Array.from({ length: ORDER_EVENTS_PARTITIONS }, (_, partition) => {
    return { partition, position: 0n, endOffset: 0n };
  });
  let checkpoint = { epoch: '00000000-0000-4000-8000-000000000000', position: 0n, partitions };
  const batches: ReturnType<typeof nextBatch>['records'][] = [];
  for (let start = 0; start < events.length;) {
    const { records, next } = nextBatch(events.slice(start, start + eventsMax), checkpoint, partitionBytesMax);
    batches.push(records);
    start += records.length;
    checkpoint = { ...next, partitions: [...next.partitions] };
  }
  return batches;
}
