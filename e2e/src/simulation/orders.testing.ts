import {
  checkpointRecord,
  confirmed,
  distrusted,
  eventId,
  expectContinued,
  expectKept,
  followPlaces,
  LogLostError,
  nextBatch,
  refuseStrangers,
  takeOver,
  type ChainEnd,
  type Checkpoint,
  type LogEnd,
  type Place,
  type StoredEvent,
} from '../../../apps/orders/src/followers/chain.ts';
import { confirmedEnds } from '../../../apps/orders/src/followers/confirmed-producer.ts';
import { Session } from './databases.testing.ts';
import { Producer, type Log, type Sent } from './log.testing.ts';
import { failed, LOOK_MS, type System, type Term } from './system.testing.ts';
import type { Process, Task } from './world.testing.ts';

// The processes of orders. What they decide is decided by the code of the service; what is here carries it out step by step, in
// the same order as `relay.ts` and `log-inspection.ts`, so that anything may happen between two steps.

/** Appends batches of events of its own orders, until it has written as many as it should. */
export function* appender(
  system: System,
  process: Process,
  orderIds: readonly string[],
  quota: { left: number },
): Task {
  const { world, orders } = system;
  while (quota.left > 0) {
    yield* world.sleep(world.random() * 60);
    const drafts = Array.from(
      { length: world.between(1, Math.min(5, quota.left)) },
      () => world.pick(orderIds) as string,
    );
    const session = new Session(orders, process, process.name);
    try {
      if (system.mutant !== 'the append does not wait for its lock') yield* session.take(orders.appendLock);
      yield* session.run(() => {
        const versions = new Map(drafts.map((orderId) => [orderId, orders.versionOf(orderId)]));
        for (const orderId of drafts) {
          const version = (versions.get(orderId) ?? 0) + 1;
          versions.set(orderId, version);
          const type = EVENT_TYPES[Math.min(version, EVENT_TYPES.length) - 1] as (typeof EVENT_TYPES)[number];
          const position = orders.nextPosition();
          const event = { position, order_id: orderId, version, type, data: EVENT_DATA[type] };
          session.write(() => orders.append({ ...event, at: new Date(0), traceparent: null }));
        }
      });
      yield* session.commit();
      quota.left -= drafts.length;
    } catch (error) {
      failed(system, process.name, error);
    } finally {
      session.end();
    }
  }
}

/** Leads whenever nobody else does, as `leadWheneverPossible` and `Relay` do together. */
export function* relay(system: System, process: Process): Task {
  const { world, orders, log } = system;
  let reused: Producer | undefined;
  for (;;) {
    const session = new Session(orders, process, process.name);
    try {
      while (!(yield* session.tryTake(orders.leaderLock))) yield* world.sleep(20 + world.random() * 20);
      world.note(() => `${process.name} leads`);
      const producer = reused ?? new Producer(log);
      if (system.mutant === 'a producer is used again after a send has failed') reused = producer;
      const term = { process, session, producer, saidEnd: 0n, unconfirmed: 0, failure: undefined };
      system.terms.add(term);
      try {
        yield* lead(system, term);
      } finally {
        system.terms.delete(term);
      }
    } catch (error) {
      failed(system, process.name, error);
    }
    yield* session.close();
    yield* world.sleep(10 + world.random() * 20);
  }
}

function* lead(system: System, term: Term): Task {
  const { world, orders, limits } = system;
  let checkpoint = yield* startOfTerm(system, term);
  system.failures.delete(term.process.name);
  try {
    yield* say(system, term, checkpoint);
    let seenAt = world.now;
    for (;;) {
      const { position } = checkpoint;
      const events = yield* term.session.run(() => orders.after(position, limits.eventsMax));
      if (term.failure !== undefined) throw term.failure;
      if (events.length > 0) {
        checkpoint = yield* publish(system, term, checkpoint, events);
        seenAt = world.now;
      } else if (world.now - seenAt > LOOK_MS) {
        yield* look(system, term, checkpoint);
        seenAt = world.now;
      } else {
        yield* world.sleep(5 + world.random() * 30);
      }
    }
  } catch (error) {
    if (error instanceof LogLostError) yield* store(system, term, distrusted(checkpoint, error.partitions));
    throw error;
  }
}

/** @returns where the next batch goes on. */
function* publish(system: System, term: Term, from: Checkpoint, events: readonly StoredEvent[]): Task<Checkpoint> {
  const { limits, mutant, world } = system;
  const { records, next } = nextBatch(events, from, limits.partitionBytesMax);
  if (mutant === 'the checkpoint is stored before the batch is published') yield* store(system, term, next);
  if (mutant !== 'the next batch is sent before the former is confirmed')
    return yield* complete(system, term, from, records, next);
  while (term.unconfirmed >= 3) yield* world.sleep(1);
  term.unconfirmed += 1;
  term.process.spawn(completeAside(system, term, from, records, next));
  return next;
}

function* complete(
  system: System,
  term: Term,
  from: Checkpoint,
  records: readonly Sent[],
  next: Checkpoint,
): Task<Checkpoint> {
  const ends = records.length === 0 ? new Map() : yield* send(system, term.producer, system.log.events, records);
  const believed =
    system.mutant === 'a send that resolves is taken for confirmed'
      ? records.filter(({ partition }) => ends.has(partition))
      : records;
  if (system.mutant !== 'a leader does not look whether the log is still there') expectContinued(from, believed, ends);
  const checkpoint = confirmed(next, ends);
  yield* say(system, term, checkpoint);
  yield* store(system, term, checkpoint);
  return checkpoint;
}

function* completeAside(
  system: System,
  term: Term,
  from: Checkpoint,
  records: readonly Sent[],
  next: Checkpoint,
): Task {
  try {
    yield* complete(system, term, from, records, next);
  } catch (error) {
    term.failure = error as Error;
  }
  term.unconfirmed -= 1;
}

function* look(system: System, term: Term, checkpoint: Checkpoint): Task {
  const { log, mutant } = system;
  const ends = yield* log.ends(log.events);
  if (mutant !== 'a leader does not look whether the log is still there')
    expectKept(checkpoint, new Map(ends.map((end, partition) => [partition, BigInt(end)])));
  const [end] = yield* log.ends(log.checkpoints);
  if (BigInt(end ?? 0) !== term.saidEnd) yield* say(system, term, checkpoint);
}

function* send(
  { mutant, log }: System,
  producer: Producer,
  partitions: Log['events'],
  records: readonly Sent[],
): Task<Map<number, bigint>> {
  const answers = yield* producer.send(partitions, records);
  log.world.note(() => `sent ${records.map(({ partition, headers }) => `${partition}:${headers['position']}`)}`);
  if (mutant !== 'a send that resolves is taken for confirmed') return confirmedEnds(records, answers);
  const named = new Set(answers.map(({ partition }) => partition));
  const answered = records.filter(({ partition }) => named.has(partition));
  return confirmedEnds(answered, answers);
}

/** How far the log has come, for its readers. */
function* say(system: System, term: Term, checkpoint: Checkpoint): Task {
  const value = JSON.stringify(checkpointRecord(checkpoint));
  const record = { partition: 0, key: 'order.events', value, headers: {} };
  term.saidEnd = (yield* send(system, term.producer, system.log.checkpoints, [record])).get(0) ?? 0n;
}

/** The same for whoever leads next. */
function* store({ orders, world }: System, { session }: Term, checkpoint: Checkpoint): Task {
  yield* session.run(() => orders.storeFollower(checkpoint));
  world.note(() => `${session.name} stored its checkpoint at ${checkpoint.position}`);
}

/** What `Relay` and `inspectLog` look at before anything is sent. */
function* startOfTerm({ orders, log, world }: System, { session }: Term): Task<Checkpoint> {
  const { follower, newest } = yield* session.run(() => ({ follower: orders.follower, newest: orders.newest }));
  const { epoch } = follower;
  const found = new Map<number, LogEnd>();
  for (const [partition, end] of (yield* log.ends(log.events)).entries()) {
    const { position, endOffset } = follower.partitions[partition] as Checkpoint['partitions'][number];
    let last: ChainEnd | undefined;
    const known = Number(endOffset) - 1;
    const isThere = position > 0n && known >= 0 && known < end;
    if (isThere) {
      const places = yield* readPlaces(log, partition, known, end);
      if (places[0]?.position === position && places[0].epoch === epoch)
        last = followPlaces(places, { position, epoch, id: places[0].id });
    }
    if (last === undefined && end > 0)
      last = followPlaces(yield* readPlaces(log, partition, 0, end), { position: 0n, epoch });
    found.set(partition, { low: 0n, end: BigInt(end), last });
  }
  const checkpoint = takeOver(follower, found, newest);
  const ids = yield* session.run(() => new Map(orders.events.map((event) => [event.position, eventId(event)])));
  refuseStrangers(found, ids);
  world.note(() => `${session.name} goes on from ${checkpoint.position}`);
  return checkpoint;
}

function* readPlaces(log: Log, partition: number, from: number, end: number): Task<(Place | undefined)[]> {
  const { records } = yield* log.fetch(log.partition(partition), BigInt(from), end - from);
  if (records.length < end - from) throw new Error(`partition ${partition} has lost records while it was read`);
  return records.map(({ headers: { position, prev, epoch, ce_id: id } }) =>
    position === undefined || prev === undefined || epoch === undefined || id === undefined
      ? undefined
      : { position: BigInt(position), prev: BigInt(prev), epoch, id },
  );
}

const EVENT_TYPES = ['order.placed.v1', 'order.payment-recorded.v1', 'order.delivered.v1'] as const;
const EVENT_DATA = {
  'order.placed.v1': JSON.stringify({
    customerId: 'c-42',
    currency: 'EUR',
    lines: [{ id: 1, sku: 'A-1', quantity: 1, unitPrice: 990 }],
    adjustments: [],
    total: 990,
    delivery: 'standard',
    payment: { method: 'card' },
  }),
  'order.payment-recorded.v1': JSON.stringify({ paymentId: 'p-1', amount: 990, currency: 'EUR' }),
  'order.delivered.v1': '{}',
};
