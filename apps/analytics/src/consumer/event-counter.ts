import { Logger } from '@nestjs/common';
import { transaction } from '@tandem/postgres/transaction';
import type { KafkaBatch } from '@tandem/transports/kafka/kafka-batch';
import type { PartitionBounds } from '@tandem/transports/kafka/cluster';
import { RepositionError } from '@tandem/transports/kafka/reposition-error';
import type { Pool, PoolClient } from 'pg';
import { applyAll, type Projection } from '../projections/projection.ts';
import { followChain, whereTo, type Steps } from './follow-chain.ts';
import { lockOffset, moveOffset, startAt, storeEpoch, type LockedOffset } from './offsets.ts';
import { decisionsAfter, park, parkedOrders, parkingLeft, type Decision } from './parking.ts';

/** A partition is held back until somebody, or a later try, has mended what the message says. */
export class PartitionStoppedError extends Error {
  override name = 'PartitionStoppedError';
}

const NO_DECISIONS: ReadonlyMap<bigint, Decision> = new Map();

/**
 * Counts the events of `order.events`: the effects of a batch, its parked records and the partition's next offset and mark
 * commit in one transaction, which begins with the lock of the partition's row and ends with a compare-and-set on it. So
 * whatever is delivered again, to whomever, counts once.
 */
export class EventCounter {
  readonly #logger = new Logger(EventCounter.name);
  readonly #pool: Pool;
  readonly #projections: readonly Projection[];
  readonly #onCounted: () => void;

  /**
   * @param pool whose connections are pipelined.
   * @param onCounted called after each commit that counted something.
   */
  constructor(pool: Pool, projections: readonly Projection[], onCounted: () => void) {
    this.#pool = pool;
    this.#projections = projections;
    this.#onCounted = onCounted;
  }

  startAt(topic: string, partition: number, bounds: PartitionBounds): Promise<bigint> {
    return startAt(this.#pool, topic, partition, bounds);
  }

  /**
   * @throws OutdatedError when a newer version has counted what this one counts: nothing is done.
   * @throws RepositionError when the partition must be read from elsewhere, because its chain is broken or was found again.
   * @throws PartitionStoppedError when it cannot go on; what comes before that is counted.
   */
  async count(batch: KafkaBatch): Promise<void> {
    const { topic, partition } = batch;
    const { from, steps, moved } = await transaction(this.#pool, async (client) => {
      const from = await lockOffset(client, topic, partition);
      if (batch.firstOffset > from.nextOffset)
        throw new RepositionError(
          `The batch begins at ${batch.firstOffset}, after the next offset ${from.nextOffset}.`,
        );
      const steps = await this.#follow(client, batch, from);
      if (steps.apply.length > 0) await applyAll(this.#projections, client, partition, steps.apply);
      const parked = from.parked + (await park(client, topic, partition, steps.park));
      if (from.epoch === undefined && steps.epoch !== undefined) await storeEpoch(client, topic, steps.epoch);
      const moved = whereTo(from, steps, batch.nextOffset >= batch.highWatermark);
      await moveOffset(client, topic, partition, from, { ...moved, mark: steps.mark, parked }, this.#projections);
      if (batch.isStale()) throw new RepositionError(`Partition ${partition} was taken away.`);
      return { from, steps, moved };
    });
    if (steps.mark !== from.mark || steps.park.length > 0) this.#onCounted();
    if (from.gapOffset === null && moved.gapOffset !== null)
      this.#logger.error(`Partition ${partition} of ${topic} is searched from its beginning: ${steps.stop?.reason}`);
    if (from.gapOffset !== null && moved.gapOffset === null)
      this.#logger.log(`Partition ${partition} of ${topic} goes on: what comes after position ${from.mark} was found.`);
    // Also when that is where it stands: what comes next is a search.
    if (moved.nextOffset !== steps.nextOffset || steps.stop?.cause === 'gap')
      throw new RepositionError(`Partition ${partition} goes on elsewhere.`);
    if (steps.stop !== undefined) throw new PartitionStoppedError(steps.stop.reason);
  }

  async #follow(client: PoolClient, batch: KafkaBatch, from: LockedOffset): Promise<Steps> {
    const { topic, partition } = batch;
    const waiting = from.parked === 0 ? new Set<string>() : await parkedOrders(client, topic, partition);
    const decisions = from.hasDecisions
      ? await decisionsAfter(client, topic, partition, from.mark, 'settled')
      : NO_DECISIONS;
    const state = { ...from, parkedOrders: waiting, decisions, searching: from.gapOffset !== null };
    const steps = followChain(batch, state, Infinity);
    if (steps.park.every(({ cause }) => cause === 'behind')) return steps;
    return followChain(batch, state, await parkingLeft(client, topic, partition, from.nextOffset));
  }
}
