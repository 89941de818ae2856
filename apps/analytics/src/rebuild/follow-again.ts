import type { KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import { readRecord, type CountedEvent } from '../consumer/read-record.ts';

/** A rebuild that cannot succeed as things are; another try would meet the same. */
export class RebuildRefusedError extends Error {
  override name = 'RebuildRefusedError';
}

/** What a stretch of a partition adds to the shadow copy. */
export interface Again {
  apply: CountedEvent[];
  /** Positions that the live copy does not count either. */
  skipped: bigint[];
  mark: bigint;
}

/** What became of the records that were parked, by their positions. */
export interface Parked {
  /** Parked still, or dropped. */
  notCounted: ReadonlySet<bigint>;
  /** As they were when they were redriven, perhaps mended. */
  redriven: ReadonlyMap<bigint, KafkaRecord>;
}

/**
 * Follows the chain of a partition as far as the live copy has come. What the live copy counted is counted: a redriven record
 * at its own offset. What is parked still, or was dropped, is left out, and holds back nothing. Repeats and what does not
 * continue the chain are passed over, as in a search: at the end the mark must be the live one.
 *
 * @throws RebuildRefusedError for another epoch, and for a record that was counted and cannot be read.
 */
export function followAgain(
  records: readonly KafkaRecord[],
  from: { mark: bigint; epoch: string | undefined },
  { notCounted, redriven }: Parked,
): Again {
  const again: Again = { apply: [], skipped: [], mark: from.mark };
  for (const record of records) {
    const logged = readRecord(record);
    if (logged.kind === 'foreign') continue;
    const { epoch, position, prev } = logged.place;
    if (epoch !== from.epoch)
      throw new RebuildRefusedError(
        `offset ${record.offset} is of epoch ${epoch}, but what was counted is of ${from.epoch}`,
      );
    if (position <= again.mark || prev !== again.mark) continue;
    again.mark = position;
    const mended = redriven.get(position);
    const reading = mended === undefined ? logged : readRecord(mended);
    if (notCounted.has(position)) again.skipped.push(position);
    else if (reading.kind === 'event') again.apply.push(reading.event);
    else
      throw new RebuildRefusedError(
        `offset ${record.offset} was counted, but this version cannot read it: ${reading.reason}`,
      );
  }
  return again;
}
