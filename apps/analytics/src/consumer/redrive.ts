import { transaction } from '@tandem/postgres/transaction';
import { OutcomeUnknownError } from '@tandem/transports/rabbitmq/errors';
import type { Pool, PoolClient } from 'pg';
import { applyAll, type Projection } from '../projections/projection.ts';
import { refuseOutdated } from '../projections/projection-versions.ts';
import { lockOffset } from './offsets.ts';
import { countParked, firstParked, keepParked, settle, type Acting, type ParkedKey } from './parking.ts';
import { readRecord, type CountedEvent } from './read-record.ts';

/** The most records counted in one transaction, which holds up the consumer of their partition. */
export const REDRIVEN_AT_ONCE_MAX = 500;

/** What became of the parked records of one key. */
export interface Redriven {
  /** Counted now, and parked no more. */
  counted: number;
  /** Still parked. */
  left: number;
  /** Why the first of those cannot be read. */
  reason: string | undefined;
}

/**
 * Counts the parked records of one order in the order of the log, up to the first that still cannot be read: that one and
 * what follows stay. Runs under the row lock of the partition, as the consumer does, so nothing of the order is counted in
 * between; the transaction that takes its last record off lets the consumer count what comes next. (Dead letters in
 * sequence, as Axon has them.)
 *
 * @throws OutdatedError when a newer version has counted what this one counts.
 * @throws Error of the database when nothing was counted; OutcomeUnknownError when something was before it failed, once.
 */
export async function redrive(
  pool: Pool,
  topic: string,
  key: ParkedKey,
  projections: readonly Projection[],
  acting: Acting,
): Promise<Redriven> {
  for (let counted = 0; ;) {
    const step = await transaction(pool, (client) => redriveSome(client, topic, key, projections, acting)).catch(
      (cause: unknown) => {
        throw counted === 0 ? cause : new OutcomeUnknownError(`It failed after ${counted} were counted`, { cause });
      },
    );
    counted += step.counted;
    if (step.left === 0 || step.counted === 0 || step.reason !== undefined) return { ...step, counted };
  }
}

async function redriveSome(
  client: PoolClient,
  topic: string,
  key: ParkedKey,
  projections: readonly Projection[],
  acting: Acting,
): Promise<Redriven> {
  const { partition } = key;
  await lockOffset(client, topic, partition);
  await refuseOutdated(client, projections);
  const parked = await firstParked(client, topic, key, REDRIVEN_AT_ONCE_MAX);
  const events: CountedEvent[] = [];
  let reason: string | undefined;
  for (const { id, record } of parked) {
    const reading = readRecord(record);
    if (reading.kind === 'event') {
      events.push(reading.event);
      continue;
    }
    reason = reading.reason;
    await keepParked(client, id, reason, acting);
    break;
  }
  if (events.length > 0) {
    await applyAll(projections, client, partition, events);
    const counted = parked.slice(0, events.length).map(({ id }) => id);
    await settle(client, topic, partition, counted, 'redriven', acting);
  }
  return { counted: events.length, left: await countParked(client, topic, key), reason };
}

/**
 * Gives a record up: it is never counted, and knowingly missing from every number. What waits behind it of its order can be
 * redriven then. Runs under the row lock of the partition, as the consumer does.
 *
 * @returns whether it had waited until now.
 */
export async function drop(
  pool: Pool,
  topic: string,
  { partition, row }: { partition: number; row: bigint },
  acting: Acting & { reason: string },
): Promise<boolean> {
  return transaction(pool, async (client) => {
    await lockOffset(client, topic, partition);
    return (await settle(client, topic, partition, [row], 'dropped', acting)) === 1;
  });
}
