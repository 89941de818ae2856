import { describe, expect, it } from '@jest/globals';
import { someHistories } from '../histories.testing.ts';
import { Chain, type TestRecord } from '../order-log.testing.ts';
import { Partition } from '../consumer/records.testing.ts';
import type { Decision } from '../consumer/parking.ts';
import { followAgain } from './follow-again.ts';

const events = someHistories(20, 31);
const chain = new Chain(1);
const records = chain.records(events);
const nothing: ReadonlyMap<bigint, Decision> = new Map();
const from = { mark: 0n, epoch: chain.epoch };
const follow = (some: readonly TestRecord[], decisions = nothing) =>
  followAgain(new Partition('order.events', 0).append(some).records, from, decisions);
/** A decision about the fifth record. */
const decided = (settledAs: Decision['settledAs'], orderId = records[4]?.key as string) => {
  const [record] = new Partition('order.events', 0).append([records[4] as TestRecord]).records;
  return new Map([[5n, { orderId, settledAs, record: record as NonNullable<typeof record> }]]);
};
const positions = (again: ReturnType<typeof follow>) => again.apply.map(({ position }) => Number(position));
const all = records.map((_, index) => index + 1);
const broken = (index: number): TestRecord[] =>
  records.map((record, at) => (at === index ? { ...record, value: 'poison' } : record));

describe('a partition that is read again', () => {
  it('is counted once, whatever was published again in between', () => {
    const repeated = [...records.slice(0, 30), ...records.slice(10, 30), ...records.slice(20)];
    expect(positions(follow(repeated))).toEqual(all);
    expect(follow(repeated).mark).toBe(BigInt(records.length));
  });

  it('passes over strangers, and over what does not continue the chain', () => {
    const stranger = { ...(records[3] as TestRecord), headers: {} };
    expect(positions(follow([...records.slice(0, 5), stranger, ...records.slice(9, 12), ...records.slice(5)]))).toEqual(
      all,
    );
  });

  it('leaves out what is parked or was dropped, and what follows of the order is counted if it was counted', () => {
    for (const settledAs of [null, 'dropped'] as const) {
      const again = follow(broken(4), decided(settledAs));
      expect(positions(again)).toEqual(all.filter((position) => position !== 5));
      expect(again.skipped).toEqual([5n]);
    }
  });

  it('counts a record for which another order had the position when it was dropped', () => {
    expect(positions(follow(records, decided('dropped', crypto.randomUUID())))).toEqual(all);
  });

  it('counts a redriven record where it lies, as it was mended', () => {
    const again = follow(broken(4), decided('redriven'));
    expect(positions(again)).toEqual(all);
    expect(again.apply[4]?.event).toEqual(events[4]?.event);
  });

  it('is refused when a record was counted that cannot be read, or is of another epoch', () => {
    expect(() => follow(broken(4))).toThrow(/offset 4 was counted, but this version cannot read it/);
    expect(() => follow(new Chain(1).records(events))).toThrow(/offset 0 is of epoch/);
  });

  it('ends where the chain breaks', () => {
    expect(follow([...records.slice(0, 10), ...records.slice(11)]).mark).toBe(10n);
  });
});
