import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { histories, someHistories } from '../histories.testing.ts';
import { Chain, firstOfSeveral, type TestEvent, type TestRecord } from '../order-log.testing.ts';
import { followChain, type ChainState } from './follow-chain.ts';
import { Partition } from './records.testing.ts';

const unstarted: ChainState = {
  nextOffset: 0n,
  mark: 0n,
  epoch: undefined,
  parkedOrders: new Set(),
  decisions: new Map(),
  searching: false,
};

/** The records of some orders, all in one partition. */
const chainOf = (events: readonly TestEvent[]) => new Chain(1).records(events);
const logOf = (records: readonly TestRecord[]) => new Partition('order.events', 0).append(records);
const someRecords = (orders = 10) => chainOf(someHistories(orders, 7));

/** Follows a whole partition from where a state stands. */
const follow = (records: readonly TestRecord[], state = unstarted, parkMax = Infinity) => {
  const log = logOf(records);
  return followChain(log.batch(0n), state, parkMax);
};
const positionsOf = (steps: ReturnType<typeof followChain>) => steps.apply.map(({ position }) => Number(position));
const upTo = (length: number) => Array.from({ length }, (_, index) => index + 1);

describe('following the chain of a partition', () => {
  it('applies every event once, in order, and moves the mark and the offset behind the last', () => {
    const records = someRecords();
    const steps = follow(records);
    expect(positionsOf(steps)).toEqual(upTo(records.length));
    expect(steps).toMatchObject({ mark: BigInt(records.length), nextOffset: BigInt(records.length), park: [] });
    expect(steps.stop).toBeUndefined();
  });

  it('takes the epoch of the first event', () => {
    const records = someRecords();
    expect(follow(records).epoch).toBe(records[0]?.headers['epoch']);
  });

  it('drops repeats: what is published again has the same positions', () => {
    const records = someRecords();
    const steps = follow([...records, ...records.slice(3), ...records.slice(-1)]);
    expect(positionsOf(steps)).toEqual(upTo(records.length));
    expect(steps.nextOffset).toBe(BigInt(2 * records.length - 3 + 1));
  });

  it('skips records below the next offset, whatever they are', () => {
    const records = someRecords();
    const state = { ...unstarted, nextOffset: 4n, mark: 4n };
    expect(positionsOf(follow(records, state))).toEqual(upTo(records.length).slice(4));
  });

  it('never moves the offset backwards when the whole batch lies below it', () => {
    const log = logOf(someRecords());
    const state = { ...unstarted, nextOffset: 9n, mark: 9n };
    expect(followChain(log.batch(0n, 5n), state, Infinity)).toMatchObject({ nextOffset: 9n, mark: 9n, apply: [] });
  });

  it('whatever is repeated, and wherever batches begin, applies the same events', () => {
    const schedule = fc.tuple(
      histories(8),
      fc.array(fc.tuple(fc.nat(), fc.nat())),
      fc.array(fc.nat({ max: 200 }), { minLength: 1 }),
    );
    fc.assert(
      fc.property(schedule, ([events, repeats, cuts]) => {
        const records = chainOf(events);
        // A producer that starts over sends again from some place at or before where it had come to.
        const sent: TestRecord[] = [];
        let at = 0;
        for (const [forward, back] of repeats) {
          const to = Math.min(records.length, at + (forward % 5));
          sent.push(...records.slice(at, to));
          at = to - (back % (to + 1));
        }
        sent.push(...records.slice(at));
        const log = logOf(sent);

        let state = unstarted;
        const applied: number[] = [];
        for (const cut of [...cuts, log.records.length]) {
          // A batch may be delivered again from anywhere below.
          const from = state.nextOffset - (BigInt(cut) % (state.nextOffset + 1n));
          const to = from + BigInt(cut) > log.end || cut === log.records.length ? log.end : from + BigInt(cut);
          const steps = followChain(log.batch(from, to), state, Infinity);
          applied.push(...positionsOf(steps));
          state = { ...state, ...steps };
        }
        expect(applied).toEqual(upTo(records.length));
      }),
    );
  });
});

describe('a gap', () => {
  it('stops the partition at the record that does not follow; what comes before it is applied', () => {
    const records = someRecords();
    const steps = follow(records.toSpliced(5, 1));
    expect(positionsOf(steps)).toEqual(upTo(5));
    expect(steps).toMatchObject({ mark: 5n, nextOffset: 5n, stop: { cause: 'gap', offset: 5n } });
    expect(steps.stop?.reason).toContain('follows position 6, but the last one counted is 5');
  });

  it('is seen in the first record too: nothing comes before the first event but 0', () => {
    expect(follow(someRecords().slice(1))).toMatchObject({ mark: 0n, nextOffset: 0n, stop: { cause: 'gap' } });
  });

  it('is searched for what is missing: records that do not follow are passed over', () => {
    const records = someRecords();
    const [missing] = records.splice(5, 1) as [TestRecord];
    const state = { ...unstarted, mark: 5n, searching: true };
    const steps = follow([...records, missing], state);
    expect(positionsOf(steps)).toEqual([6]);
    expect(steps).toMatchObject({ mark: 6n, nextOffset: BigInt(records.length + 1) });
    expect(steps.stop).toBeUndefined();
  });

  it('without one event lost, whichever it is, never lets the mark pass it', () => {
    fc.assert(
      fc.property(histories(6), fc.nat(), (events, nth) => {
        const records = chainOf(events);
        const lost = nth % records.length;
        const steps = follow(records.toSpliced(lost, 1));
        expect(positionsOf(steps)).toEqual(upTo(lost));
        expect(steps.mark).toBe(BigInt(lost));
      }),
    );
  });
});

describe('another epoch', () => {
  it('stops the partition, even in a record whose position was counted', () => {
    const records = someRecords();
    const [other] = chainOf(someHistories(1, 3));
    const steps = follow([...records.slice(0, 3), other as TestRecord, ...records.slice(3)]);
    expect(steps).toMatchObject({ mark: 3n, nextOffset: 3n, stop: { cause: 'epoch', offset: 3n } });
  });
});

describe('what cannot be read', () => {
  const at = (records: TestRecord[], index: number) => records[index] as TestRecord;

  it('is parked, and later events of its order behind it; the rest is applied', () => {
    const records = someRecords(20);
    const ofOrder = records.filter(({ key }, _, all) => key === firstOfSeveral(all).key);
    const broken = at(ofOrder, 0);
    expect(ofOrder.length).toBeGreaterThan(2);
    broken.value = '{ "total": ';
    const { park, apply, mark } = follow(records);
    expect(park.map(({ cause }) => cause)).toEqual(['unreadable', ...ofOrder.slice(1).map(() => 'behind')]);
    expect(park.every(({ orderId }) => orderId === broken.key)).toBe(true);
    expect(apply).toHaveLength(records.length - ofOrder.length);
    expect(mark).toBe(BigInt(records.length));
  });

  it('holds back events of an order that was parked before', () => {
    const records = someRecords();
    const parkedOrders = new Set([firstOfSeveral(records).key as string]);
    const { park } = follow(records, { ...unstarted, parkedOrders });
    expect(park.length).toBeGreaterThan(0);
    expect(park.every(({ cause }) => cause === 'behind')).toBe(true);
  });

  it("is parked without moving the mark when it is a stranger's, whatever order its key names", () => {
    const records = someRecords();
    const stranger = { ...at(records, 2), headers: { hello: 'world' } };
    const steps = follow([...records.slice(0, 2), stranger, ...records.slice(2)]);
    expect(positionsOf(steps)).toEqual(upTo(records.length));
    expect(steps.park).toMatchObject([{ cause: 'foreign', orderId: null, position: null }]);
  });

  it('stops the partition past a bound instead of being parked; what is behind a parked one does not count', () => {
    const records = someRecords(20);
    const orders = [...new Set(records.map(({ key }) => key))];
    for (const record of records) if (orders.slice(0, 4).includes(record.key)) record.value = 'not JSON';
    const unreadable = (steps: ReturnType<typeof followChain>) =>
      steps.park.filter(({ cause }) => cause === 'unreadable').length;
    const all = unreadable(follow(records));
    expect(follow(records, unstarted, all).stop).toBeUndefined();
    const steps = follow(records, unstarted, all - 1);
    expect(unreadable(steps)).toBe(all - 1);
    expect(steps.stop).toMatchObject({ cause: 'parking', offset: steps.nextOffset });
    expect(at(records, Number(steps.nextOffset)).value).toBe('not JSON');
  });
});
