import { describe, expect, it } from '@jest/globals';
import {
  distrusted,
  expectContinued,
  expectKept,
  followPlaces,
  LogLostError,
  LogMismatchError,
  positionBefore,
  refuseStrangers,
  takeOver,
  type Checkpoint,
  type LogEnd,
  type Place,
} from './chain.ts';

const EPOCH = '0197c6f0-5b7a-4cc3-9a51-3f1f6f3c2b10';
const START = { position: 0n, epoch: EPOCH };

const place = (position: number, prev: number, epoch = EPOCH): Place => {
  return { position: BigInt(position), prev: BigInt(prev), epoch, id: `order:${position}` };
};
const reached = (places: (Place | undefined)[], from = START) => followPlaces(places, from).position;

describe('the chain of a partition', () => {
  it('reaches its last record when nothing is missing', () => {
    expect(reached([place(2, 0), place(5, 2), place(9, 5)])).toBe(9n);
  });

  it('passes repeats and what is not ours', () => {
    expect(reached([place(2, 0), place(5, 2), undefined, place(2, 0), place(5, 2), place(9, 5)])).toBe(9n);
  });

  it('ends at a hole, whatever comes after it', () => {
    expect(reached([place(2, 0), place(9, 5), place(12, 9)])).toBe(2n);
    expect(reached([place(9, 5), place(12, 9)])).toBe(0n);
  });

  it('ends with a record of another epoch, which is what is told', () => {
    expect(followPlaces([place(2, 0), place(5, 2, 'other'), place(9, 5)], START)).toMatchObject({
      position: 5n,
      epoch: 'other',
    });
  });
});

describe('a partition whose last known record is gone', () => {
  const known = { partition: 0, position: 20n, endOffset: 8n };

  it('goes on where it was known to end when what came before was deleted', () => {
    expect(positionBefore(known, 8n)).toBe(20n);
    expect(positionBefore(known, 11n)).toBe(20n);
  });

  it('shows nothing when it was begun anew, or ended before it did', () => {
    expect(positionBefore(known, 0n)).toBe(0n);
    expect(positionBefore(known, 5n)).toBe(0n);
    expect(positionBefore({ partition: 0, position: 0n, endOffset: 0n }, 0n)).toBe(0n);
  });
});

describe('a relay that takes over', () => {
  const checkpoint: Checkpoint = {
    epoch: EPOCH,
    position: 20n,
    partitions: [
      { partition: 0, position: 20n, endOffset: 8n },
      { partition: 1, position: 17n, endOffset: 4n },
    ],
  };
  const held = (position: bigint, end: bigint): LogEnd => {
    return { low: 0n, end, last: { position, epoch: EPOCH, id: `order:${position}` } };
  };
  const over = (first: LogEnd, second: LogEnd) =>
    takeOver(
      checkpoint,
      new Map([
        [0, first],
        [1, second],
      ]),
      30n,
    );

  it('goes on at its checkpoint when the log is as it was', () => {
    expect(over(held(20n, 8n), held(17n, 4n))).toEqual(checkpoint);
  });

  it('sends nothing again though a stranger has written behind the last record', () => {
    const { position, partitions } = over(held(20n, 9n), held(17n, 4n));
    expect(position).toBe(20n);
    expect(partitions[0]).toEqual({ partition: 0, position: 20n, endOffset: 9n });
  });

  it('goes back to where the chain ends, though the partition is as long as it was', () => {
    const { position, partitions } = over(held(11n, 8n), held(17n, 4n));
    expect(position).toBe(11n);
    expect(partitions).toEqual([
      { partition: 0, position: 11n, endOffset: 8n },
      { partition: 1, position: 17n, endOffset: 4n },
    ]);
  });

  it('sends nothing of a partition again that reaches beyond the checkpoint', () => {
    const { position, partitions } = over(held(25n, 10n), held(17n, 4n));
    expect(position).toBe(20n);
    expect(partitions[0]).toEqual({ partition: 0, position: 25n, endOffset: 10n });
  });

  it('begins again where a partition is empty and was not', () => {
    expect(over({ low: 0n, end: 0n, last: undefined }, held(17n, 4n)).position).toBe(0n);
  });

  it('goes by the chain alone once a loss was seen', () => {
    const seen = distrusted(checkpoint, [0]);
    expect(seen.partitions[1]).toEqual(checkpoint.partitions[1]);
    const log = (first: LogEnd) =>
      new Map([
        [0, first],
        [1, held(17n, 4n)],
      ]);
    expect(takeOver(seen, log(held(20n, 8n)), 30n)).toEqual(checkpoint);
    expect(takeOver(seen, log(held(11n, 8n)), 30n).position).toBe(11n);
    expect(takeOver(seen, log({ low: 0n, end: 0n, last: undefined }), 30n).position).toBe(0n);
  });

  it('refuses a log of another epoch, or beyond the database', () => {
    expect(() => over({ low: 0n, end: 9n, last: { position: 21n, epoch: 'other' } }, held(17n, 4n))).toThrow(
      LogMismatchError,
    );
    expect(() => over(held(31n, 9n), held(17n, 4n))).toThrow('npm run recover');
  });

  it('refuses a log that ends with another event than the database has there', () => {
    const log = new Map([[0, held(20n, 8n)]]);
    expect(() => refuseStrangers(log, new Map([[20n, 'order:20']]))).not.toThrow();
    expect(() => refuseStrangers(log, new Map([[20n, 'another:1']]))).toThrow(LogMismatchError);
    expect(() => refuseStrangers(log, new Map())).toThrow('the database has none');
  });
});

describe('a confirmed batch', () => {
  const before: Checkpoint = {
    epoch: EPOCH,
    position: 20n,
    partitions: [{ partition: 0, position: 20n, endOffset: 8n }],
  };
  const two = [{ partition: 0 }, { partition: 0 }];

  it('is not believed when it lies before the end of its partition', () => {
    expect(() => expectContinued(before, two, new Map([[0, 9n]]))).toThrow(LogLostError);
    expect(() => expectContinued(before, two, new Map([[0, 10n]]))).not.toThrow();
    expect(() => expectContinued(before, two, new Map([[0, 12n]]))).not.toThrow();
  });
});

describe('a log that ends before it did', () => {
  it('is lost in each such partition, and in no other', () => {
    const partitions = [0, 1, 2].map((partition) => ({ partition, position: 9n, endOffset: 8n }));
    const lost = (ends: [number, bigint][]) => {
      try {
        expectKept({ epoch: EPOCH, position: 9n, partitions }, new Map(ends));
      } catch (error) {
        return (error as LogLostError).partitions;
      }
      return [];
    };
    expect(
      lost([
        [0, 7n],
        [1, 8n],
        [2, 0n],
      ]),
    ).toEqual([0, 2]);
    expect(lost([[1, 9n]])).toEqual([]);
  });
});
