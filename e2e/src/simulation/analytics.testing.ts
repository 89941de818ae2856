import type { LogCheckpoint } from '@tandem/contracts/event-record';
import { Checkpoints } from '../../../apps/analytics/src/checkpoints/checkpoints.ts';
import { Searches } from '../../../apps/analytics/src/checkpoints/searches.ts';
import { followChain, whereTo } from '../../../apps/analytics/src/consumer/follow-chain.ts';
import { Session, type OffsetRow } from './databases.testing.ts';
import type { Log, Stored } from './log.testing.ts';
import { failed, LOOK_MS, type System } from './system.testing.ts';
import type { Process, Task } from './world.testing.ts';

// The processes of analytics. What they decide is decided by the code of the service; what is here carries it out step by step,
// in the same order as `event-counter.ts`, `offsets.ts` and `progress.ts`, so that anything may happen between two steps.

/** One instance of analytics: a member of the group, a reader of checkpoints, and somebody who asks how far it has come. */
export function* analytics(system: System, process: Process): Task {
  const { world, group } = system;
  const checkpoints = new Checkpoints();
  const held = new Map<number, Cursor>();
  process.spawn(readCheckpoints(system, process, checkpoints));
  process.spawn(tellProgress(system, process, checkpoints));
  if (system.mutant !== 'what was published and not found is not searched for')
    process.spawn(searchMissing(system, process, checkpoints, held));
  for (;;) {
    if (!group.has(process)) {
      held.clear();
      group.join(process, (partitions) => {
        held.clear();
        for (const partition of partitions) {
          const cursor: Cursor = { nextOffset: 0n, lookAgain: false };
          held.set(partition, cursor);
          const isStale = () => held.get(partition) !== cursor;
          process.spawn(consume(system, process, partition, cursor, isStale));
        }
      });
    }
    yield* world.sleep(40 + world.random() * 20);
  }
}

/** A partition in the hands of a member. */
interface Cursor {
  nextOffset: bigint;
  lookAgain: boolean;
}

/** What a handler does to go on elsewhere in its partition. */
class RepositionError extends Error {}

/** One partition, for as long as this member believes that it holds it: what `KafkaBatchServer` does for it. */
function* consume(system: System, process: Process, partition: number, cursor: Cursor, isStale: () => boolean): Task {
  const { world, log, limits } = system;
  const name = `${process.name}, partition ${partition}`;
  while (!isStale()) {
    try {
      cursor.lookAgain = false;
      let next = yield* startAt(system, process, partition);
      while (!isStale() && !cursor.lookAgain) {
        cursor.nextOffset = next.offset;
        const { records, end } = yield* log.fetch(log.partition(partition), next.offset, limits.fetchMax);
        if (isStale()) break;
        if (records.length === 0) {
          yield* world.sleep(20 + world.random() * 20);
          continue;
        }
        const batch = { records, firstOffset: next.offset, end, isStale };
        next = yield* count(system, process, partition, batch, next.memory);
        system.failures.delete(name);
      }
    } catch (error) {
      if (isStale()) break;
      if (error instanceof RepositionError) continue;
      failed(system, name, error);
      yield* world.sleep(20 + world.random() * 40);
    }
  }
  system.failures.delete(name);
}

/** Where a member goes on; `memory` is what one without a fence believes of the partition. */
interface Next {
  offset: bigint;
  memory: { mark: bigint; gapOffset: bigint | null };
}

/** As in `offsets.ts`: an offset outside of the partition goes to its beginning. */
function* startAt({ log, analytics }: System, process: Process, partition: number): Task<Next> {
  const end = BigInt((yield* log.ends(log.events))[partition] ?? 0);
  const session = new Session(analytics, process, process.name);
  try {
    yield* session.take(analytics.lockOf(partition));
    const row = yield* session.run(() => {
      const row = analytics.rows.get(partition) ?? { nextOffset: 0n, mark: 0n, gapOffset: null };
      const started = row.nextOffset <= end ? row : { ...row, nextOffset: 0n };
      session.write(() => analytics.moveRow(partition, started));
      return started;
    });
    yield* session.commit();
    return { offset: row.nextOffset, memory: row };
  } finally {
    session.end();
  }
}

interface Batch {
  records: readonly Stored[];
  firstOffset: bigint;
  /** The end of the partition when it was fetched. */
  end: bigint;
  isStale: () => boolean;
}

/** As in `event-counter.ts`: effects, offset and mark commit in one transaction that holds the partition's row. */
function* count(
  system: System,
  process: Process,
  partition: number,
  { records, firstOffset, end, isStale }: Batch,
  memory: Next['memory'],
): Task<Next> {
  const { world, analytics, mutant } = system;
  const fenced = mutant !== 'nothing fences a member whose partition was taken away';
  const nextOffset = firstOffset + BigInt(records.length);
  const session = new Session(analytics, process, process.name);
  try {
    if (fenced) yield* session.take(analytics.lockOf(partition));
    const { from, epoch } = yield* session.run(() => {
      const from = fenced ? analytics.rowOf(partition) : { nextOffset: firstOffset, ...memory };
      return { from, epoch: analytics.epoch };
    });
    if (firstOffset > from.nextOffset)
      throw new RepositionError(`the batch begins at ${firstOffset}, after ${from.nextOffset}`);
    const parking = { parkedOrders: new Set<string>(), decisions: new Map<bigint, never>() };
    const state = { ...from, epoch, ...parking, searching: from.gapOffset !== null };
    const read =
      mutant === 'any position above the mark is next, whatever its prev' ? unchained(records, from.mark) : records;
    const steps = followChain({ records: read, nextOffset }, state, Infinity);
    const moved = whereTo(from, steps, nextOffset >= end);
    const apply = () => analytics.count(steps.apply);
    const move = () => {
      if (fenced && analytics.rowOf(partition).nextOffset !== from.nextOffset)
        throw new Error('somebody else has moved the offset');
      session.write(() => analytics.moveRow(partition, { ...moved, mark: steps.mark }));
      const first = epoch === undefined ? steps.epoch : undefined;
      if (first !== undefined) session.write(() => analytics.storeEpoch(first));
    };
    if (mutant === 'the offset is committed before the effects') {
      yield* session.run(move);
      yield* session.commit();
      yield* session.run(() => session.write(apply));
    } else if (mutant === 'the offset is committed after the effects') {
      yield* session.run(() => session.write(apply));
      yield* session.commit();
      yield* session.run(move);
    } else {
      yield* session.run(() => session.write(apply));
      yield* session.run(move);
    }
    if (fenced && isStale()) throw new RepositionError('the partition was taken away');
    yield* session.commit();
    world.note(() => `${process.name} counted ${partition}:${steps.apply.map(({ position }) => position)}`);
    if (moved.nextOffset !== steps.nextOffset || steps.stop?.cause === 'gap')
      throw new RepositionError('the partition goes on elsewhere');
    if (steps.stop !== undefined) throw new Error(steps.stop.reason);
    return { offset: moved.nextOffset, memory: { mark: steps.mark, gapOffset: moved.gapOffset } };
  } finally {
    session.end();
  }
}

/** Records as they look to somebody who compares positions alone: each follows whatever came before it. */
function unchained(records: readonly Stored[], mark: bigint): Stored[] {
  return records.map((record) => {
    const position = BigInt(record.headers['position'] ?? 0);
    if (position <= mark) return record;
    const headers = { ...record.headers, prev: mark.toString() };
    mark = position;
    return { ...record, headers };
  });
}

/** Every instance reads all checkpoints, from the newest on. */
function* readCheckpoints(system: System, process: Process, checkpoints: Checkpoints): Task {
  const { world, log } = system;
  const [partition] = log.checkpoints as [Log['checkpoints'][number]];
  let next: number | undefined;
  let { losses } = log;
  for (;;) {
    try {
      // A group is lost with its broker: its members join again and ask where to begin.
      if (losses !== log.losses) next = undefined;
      ({ losses } = log);
      next ??= Math.max(0, ((yield* log.ends([partition]))[0] ?? 0) - 1);
      const { records } = yield* log.fetch(partition, BigInt(next), 10);
      for (const { value } of records) checkpoints.add(JSON.parse(value.toString()) as LogCheckpoint);
      next += records.length;
    } catch (error) {
      failed(system, `${process.name}, checkpoints`, error);
      next = undefined;
    }
    yield* world.sleep(20 + world.random() * 20);
  }
}

/** As in `progress.ts`: marks and what was stored are read in one snapshot, and what is known is stored. */
function* tellProgress(system: System, process: Process, checkpoints: Checkpoints): Task {
  const { world, analytics, onClaim } = system;
  for (;;) {
    const session = new Session(analytics, process, process.name);
    try {
      const position = yield* session.run(() => {
        const reached = checkpoints.reachedBy(analytics.marks, analytics.epoch);
        const position = reached > analytics.progress ? reached : analytics.progress;
        onClaim(process.name, position);
        return position;
      });
      if (world.chance(0.3)) yield* session.run(() => analytics.storeProgress(position));
    } catch (error) {
      failed(system, `${process.name}, progress`, error);
    } finally {
      session.end();
    }
    yield* world.sleep(20 + world.random() * 40);
  }
}

/** As `Progress.searchMissing` and `rewound` do: what was published and not found is searched for from the beginning. */
function* searchMissing(
  system: System,
  process: Process,
  checkpoints: Checkpoints,
  held: ReadonlyMap<number, Cursor>,
): Task {
  const { world, analytics } = system;
  const searches = new Searches();
  for (;;) {
    yield* world.sleep(LOOK_MS);
    const standing = new Map([...held].map(([partition, { nextOffset }]) => [partition, nextOffset]));
    const session = new Session(analytics, process, process.name);
    try {
      const { rows, missing } = yield* session.run(() => {
        const rows = new Map(analytics.rows);
        const nextOffsets = new Map([...rows].map(([partition, { nextOffset }]) => [partition, nextOffset]));
        return { rows, missing: checkpoints.missing(analytics.marks, nextOffsets) };
      });
      for (const { partition } of missing) {
        const { nextOffset, mark } = rows.get(partition) as OffsetRow;
        if (!searches.begin({ partition, nextOffset, mark }, world.now)) continue;
        yield* session.take(analytics.lockOf(partition));
        yield* session.run(() => {
          const row = analytics.rowOf(partition);
          if (row.nextOffset === nextOffset && row.mark === mark)
            session.write(() => {
              analytics.moveRow(partition, { ...row, nextOffset: 0n });
              analytics.flush();
            });
        });
        yield* session.commit();
        world.note(() => `${process.name} searches partition ${partition}`);
      }
      const found = yield* session.run(() => new Map(analytics.rows));
      for (const [partition, nextOffset] of standing) {
        const cursor = held.get(partition);
        if (cursor !== undefined && nextOffset > (found.get(partition)?.nextOffset ?? 0n)) cursor.lookAgain = true;
      }
    } catch (error) {
      failed(system, `${process.name}, search`, error);
    } finally {
      session.end();
    }
  }
}
