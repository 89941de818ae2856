import type { KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import { decisionOn, type Decision } from './parking.ts';
import { readRecord, type CountedEvent } from './read-record.ts';

/** Where a partition stands before a batch. */
export interface ChainState {
  nextOffset: bigint;
  mark: bigint;
  /** Undefined until the first event of the log was seen. */
  epoch: string | undefined;
  /** Orders that have a parked record in this partition: what follows of them waits behind it. */
  parkedOrders: ReadonlySet<string>;
  /** Operators' decisions on records after the mark, by position. */
  decisions: ReadonlyMap<bigint, Decision>;
  /** Whether the chain is broken, and records are skipped until one continues it. */
  searching: boolean;
}

/** A record that is set aside, and why. */
export interface ParkedRecord {
  record: KafkaRecord;
  cause: 'foreign' | 'unreadable' | 'behind';
  reason: string;
  orderId: string | null;
  position: bigint | null;
}

/** Why a partition stops: nothing at or after the offset is done. */
export interface Stop {
  cause: 'gap' | 'epoch' | 'parking';
  offset: bigint;
  reason: string;
}

/** What to do with a batch, up to its end or to where it stops. */
export interface Steps {
  apply: CountedEvent[];
  park: ParkedRecord[];
  nextOffset: bigint;
  mark: bigint;
  epoch: string | undefined;
  stop: Stop | undefined;
}

/**
 * Follows the chain of positions through the records of one partition. `position ≤ mark` is a repeat and dropped; `prev =
 * mark` is next; anything else is a gap and stops, or is skipped in a search. What cannot be read is parked with what follows of its order; what is not
 * part of the chain is parked without moving the mark.
 *
 * @param batch records in the order of their offsets and the offset after them; records below `state.nextOffset` are skipped.
 * @param parkMax how many records may be parked for themselves, not for being behind another; one more stops.
 */
export function followChain(
  batch: { records: readonly KafkaRecord[]; nextOffset: bigint },
  state: ChainState,
  parkMax: number,
): Steps {
  const apply: CountedEvent[] = [];
  const park: ParkedRecord[] = [];
  const parkedOrders = new Set(state.parkedOrders);
  let { mark, epoch, nextOffset } = state;
  let parked = 0;
  const stopped = (cause: Stop['cause'], reason: string): Steps => {
    return { apply, park, nextOffset, mark, epoch, stop: { cause, offset: nextOffset, reason } };
  };

  for (const record of batch.records) {
    if (record.offset < state.nextOffset) continue;
    nextOffset = record.offset;
    const reading = readRecord(record);
    if (reading.kind !== 'foreign') {
      const { place } = reading;
      if (epoch !== undefined && place.epoch !== epoch)
        return stopped(
          'epoch',
          `offset ${record.offset} is of epoch ${place.epoch}, but what was counted is of ${epoch}`,
        );
      if (place.position <= mark) continue;
      if (place.prev !== mark && state.searching) continue;
      if (place.prev !== mark)
        return stopped(
          'gap',
          `offset ${record.offset} follows position ${place.prev}, but the last one counted is ${mark}`,
        );
    }
    const decision = decisionOn(record, reading, state.decisions);
    const isMended = decision?.settledAs === 'redriven';
    const counted = isMended ? readRecord(decision.record) : reading;
    if (decision?.settledAs === 'dropped') {
      // It stays dropped, and holds back nothing.
    } else if (counted.kind === 'event' && !parkedOrders.has(counted.event.orderId)) {
      apply.push(counted.event);
    } else {
      const next = parking(isMended ? { ...decision.record, offset: record.offset } : record, counted);
      if (next.cause !== 'behind' && ++parked > parkMax)
        return stopped(
          'parking',
          `too many records cannot be read, the next at offset ${record.offset}: ${next.reason}`,
        );
      park.push(next);
      if (next.orderId !== null) parkedOrders.add(next.orderId);
    }
    if (reading.kind !== 'foreign') ({ position: mark, epoch } = reading.place);
  }
  nextOffset = batch.nextOffset > state.nextOffset ? batch.nextOffset : state.nextOffset;
  return { apply, park, nextOffset, mark, epoch, stop: undefined };
}

/**
 * Where a partition goes on. At a gap the whole partition is searched for what comes after the mark: a log that was rebuilt
 * may hold it earlier, one that was mended later. What is found before the gap leads up to it, and reading goes on there. What
 * is found behind it is followed to the end, because more may come before the next hole; then reading goes on at the gap.
 * (To go back at once would search the whole partition again for each batch that is found.)
 *
 * @param isAtEnd whether nothing came after the batch when it was fetched.
 */
export function whereTo(
  from: { mark: bigint; gapOffset: bigint | null },
  steps: Steps,
  isAtEnd: boolean,
): { nextOffset: bigint; gapOffset: bigint | null } {
  const { nextOffset, mark, stop } = steps;
  if (stop?.cause === 'gap') return { nextOffset: 0n, gapOffset: stop.offset };
  const { gapOffset } = from;
  if (gapOffset === null || mark === from.mark) return { nextOffset, gapOffset };
  if (nextOffset <= gapOffset) return { nextOffset, gapOffset: null };
  return isAtEnd ? { nextOffset: gapOffset, gapOffset: null } : { nextOffset, gapOffset };
}

function parking(record: KafkaRecord, reading: ReturnType<typeof readRecord>): ParkedRecord {
  switch (reading.kind) {
    // Whatever its key says: a stranger's record must not hold back an order.
    case 'foreign':
      return { record, cause: 'foreign', reason: reading.reason, orderId: null, position: null };
    case 'unreadable': {
      const { reason, orderId, place } = reading;
      return { record, cause: 'unreadable', reason, orderId, position: place.position };
    }
    case 'event': {
      const { orderId, position } = reading.event;
      return { record, cause: 'behind', reason: 'an earlier event of its order is parked', orderId, position };
    }
  }
}
