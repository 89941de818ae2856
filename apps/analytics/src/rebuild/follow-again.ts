import type { KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import { decisionOn, type Decision } from '../consumer/parking.ts';
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

/**
 * Follows the chain of a partition as far as the live copy has come. What the live copy counted is counted: a redriven record
 * at its own offset. What is parked still, or was dropped, is left out, and holds back nothing. Repeats and what does not
 * continue the chain are passed over, as in a search: at the end the mark must be the live one.
 *
 * @param decisions about the records after the mark that were parked, those that wait included.
 * @throws RebuildRefusedError for another epoch, and for a record that was counted and cannot be read.
 */
export function followAgain(
  records: readonly KafkaRecord[],
  from: { mark: bigint; epoch: string | undefined },
  decisions: ReadonlyMap<bigint, Decision>,
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
    const decision = decisionOn(record, logged, decisions);
    const reading = decision?.settledAs === 'redriven' ? readRecord(decision.record) : logged;
    if (decision !== undefined && decision.settledAs !== 'redriven') again.skipped.push(position);
    else if (reading.kind === 'event') again.apply.push(reading.event);
    else
      throw new RebuildRefusedError(
        `offset ${record.offset} was counted, but this version cannot read it: ${reading.reason}`,
      );
  }
  return again;
}
