import { describe, expect, it } from '@jest/globals';
import type { KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import fc from 'fast-check';
import { someHistories } from '../histories.testing.ts';
import { Chain } from '../order-log.testing.ts';
import { checkpointOf } from './checkpoints.controller.ts';
import { CHECKPOINTS_MAX, Checkpoints } from './checkpoints.ts';

const PARTITIONS = 3;

/** A log of events, each with its position and partition, and the checkpoints that were said along the way. */
function logWith(sizes: readonly number[]) {
  const chain = new Chain(PARTITIONS);
  const events = someHistories(60, 5);
  const records: { position: bigint; partition: number }[] = [];
  const said = sizes.map((size) => {
    const sent = chain.records(events.splice(0, size));
    records.push(
      ...sent.map(({ partition, headers }) => ({ partition, position: BigInt(headers['position'] as string) })),
    );
    return chain.checkpoint([]);
  });
  return { epoch: chain.epoch, records, said };
}

/** The marks after the first `counts[p]` records of each partition. */
function marksAfter(records: readonly { position: bigint; partition: number }[], counts: readonly number[]) {
  const counted = counts.flatMap((count, partition) =>
    records.filter((r) => r.partition === partition).slice(0, count),
  );
  const marks = new Map(counts.map((_, partition) => [partition, 0n]));
  for (const { position, partition } of counted) marks.set(partition, position);
  return { counted: new Set(counted.map(({ position }) => position)), marks };
}

/** Up to where everything is counted, by looking at each. */
const truth = (records: readonly { position: bigint }[], counted: ReadonlySet<bigint>) =>
  records.find(({ position }) => !counted.has(position))?.position ?? BigInt(records.length) + 1n;

const schedule = fc.tuple(
  fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }),
  fc.array(fc.tuple(fc.nat({ max: 40 }), fc.nat({ max: 40 }), fc.nat({ max: 40 })), { minLength: 1, maxLength: 6 }),
);

describe('the position that is counted', () => {
  it('is the newest checkpoint once every partition has what it says, though one is idle', () => {
    const { epoch, records, said } = logWith([20, 1]);
    const checkpoints = new Checkpoints();
    for (const checkpoint of said) checkpoints.add(checkpoint);
    const { marks } = marksAfter(records, [99, 99, 99]);
    expect(checkpoints.reachedBy(marks, epoch)).toBe(21n);
  });

  it('never claims an event that is not counted, whatever each partition has counted', () => {
    fc.assert(
      fc.property(schedule, ([sizes, steps]) => {
        const { epoch, records, said } = logWith(sizes);
        const checkpoints = new Checkpoints();
        for (const checkpoint of said) checkpoints.add(checkpoint);
        for (const counts of steps) {
          const { counted, marks } = marksAfter(records, counts);
          expect(checkpoints.reachedBy(marks, epoch) < truth(records, counted)).toBe(true);
        }
      }),
    );
  });

  it('reaches every checkpoint that is satisfied, and never falls back while the marks grow', () => {
    fc.assert(
      fc.property(schedule, ([sizes, steps]) => {
        const { epoch, records, said } = logWith(sizes);
        const checkpoints = new Checkpoints();
        for (const checkpoint of said) checkpoints.add(checkpoint);
        const counts = [0, 0, 0];
        let last = 0n;
        for (const step of steps) {
          step.forEach((count, partition) => (counts[partition] = (counts[partition] as number) + count));
          const { counted, marks } = marksAfter(records, counts);
          const satisfied = said.filter(({ position }) => BigInt(position) < truth(records, counted));
          const reached = checkpoints.reachedBy(marks, epoch);
          expect(reached >= BigInt(satisfied.at(-1)?.position ?? 0)).toBe(true);
          expect(reached >= last).toBe(true);
          last = reached;
        }
      }),
    );
  });

  it('is 0 for another epoch, and before anything was said', () => {
    const { records, said } = logWith([5]);
    const { marks } = marksAfter(records, [9, 9, 9]);
    const checkpoints = new Checkpoints();
    expect(checkpoints.reachedBy(marks, undefined)).toBe(0n);
    checkpoints.add(said[0] as NonNullable<(typeof said)[0]>);
    expect(checkpoints.reachedBy(marks, 'another')).toBe(0n);
  });

  it('keeps a bounded number of checkpoints, thinned so that one near to any mark is left', () => {
    const checkpoints = new Checkpoints();
    const epoch = 'e';
    const count = 5 * CHECKPOINTS_MAX;
    for (let position = 1; position <= count; position += 1)
      checkpoints.add({ epoch, position, partitions: [{ partition: 0, position, endOffset: '0' }] });
    const reached = checkpoints.reachedBy(new Map([[0, BigInt(count / 2)]]), epoch);
    expect(Number(reached)).toBe(count / 2);
    expect(checkpoints.size).toBeLessThanOrEqual(CHECKPOINTS_MAX);
  });

  it('ignores what a relay says again, and begins anew with another epoch', () => {
    const partitions = [{ partition: 0, position: 5, endOffset: '5' }];
    const checkpoints = new Checkpoints();
    checkpoints.add({ epoch: 'a', position: 5, partitions });
    checkpoints.add({ epoch: 'a', position: 3, partitions });
    expect(checkpoints.newest?.position).toBe(5);
    checkpoints.add({ epoch: 'b', position: 2, partitions: [] });
    expect(checkpoints.newest).toMatchObject({ epoch: 'b', position: 2 });
    expect(checkpoints.size).toBe(1);
  });
});

describe('an end that is missing', () => {
  it('is a partition that was read past the checkpoint without finding what it says', () => {
    const checkpoints = new Checkpoints();
    const partitions = [
      { partition: 0, position: 5, endOffset: '3' },
      { partition: 1, position: 4, endOffset: '2' },
    ];
    checkpoints.add({ epoch: 'a', position: 5, partitions });
    const marks = new Map([
      [0, 2n],
      [1, 2n],
    ]);
    const offsets = new Map([
      [0, 3n],
      [1, 1n],
    ]);
    expect(checkpoints.missing(marks, offsets)).toMatchObject([{ partition: 0, position: 5 }]);
  });
});

describe('a record of the checkpoints', () => {
  const read = (checkpoint: object) => checkpointOf({ value: Buffer.from(JSON.stringify(checkpoint)) } as KafkaRecord);

  it('is read without the fields that a later relay has added', () => {
    const { said } = logWith([10]);
    const later = { ...said[0], sealedAt: 1, partitions: said[0]?.partitions.map((it) => ({ ...it, bytes: 1 })) };
    expect(read(later)).toEqual(said[0]);
    expect(read({ ...later, position: -1 })).toBeUndefined();
  });
});
