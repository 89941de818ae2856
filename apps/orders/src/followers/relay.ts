import type { Topology } from '@tandem/contracts/topology';
import { leadWheneverPossible, pause, type LeadershipOptions, type Term } from '@tandem/postgres/leader';
import type { Kafka } from 'kafkajs';
import {
  checkpointRecord,
  confirmed,
  distrusted,
  eventId,
  expectContinued,
  expectKept,
  LogLostError,
  LogMismatchError,
  nextBatch,
  refuseStrangers,
  takeOver,
  type Checkpoint,
  type StoredEvent,
} from './chain.ts';
import { ConfirmedProducer } from './confirmed-producer.ts';
import { endOffsets, inspectLog } from './log-inspection.ts';

export interface RelayOptions {
  kafka: Kafka;
  topology: Topology;
  leadership: Omit<LeadershipOptions, 'name'>;
  /** The most events read and sent at once. */
  eventsMax: number;
  /** The most bytes of events read at once; a single event may be larger. */
  bytesMax: number;
  /** The most bytes of one batch in one partition; a broker takes 1 MiB at once unless told otherwise. */
  partitionBytesMax: number;
  /**
   * The least time from one batch to the next, unless the first was full: events that come meanwhile go together. It grows
   * from the first to the second with the number of events in a batch.
   */
  batchMsMin: number;
  batchMsMax: number;
  /** The pause after an empty read: it doubles from the first to the second while nothing comes. */
  pollMsMin: number;
  pollMsMax: number;
  /** How often the log is looked at while there is nothing to send: it may be lost then, too. */
  lookMs: number;
  onFailure: (error: Error) => void;
}

export interface RelayState {
  role: 'standby' | 'leader' | 'stopped';
  /** Everything up to here is in the log, as far as this instance knows. */
  position: bigint;
  /** Why the last term ended, until the next one is under way. */
  failure: string | undefined;
}

/** The name under which the relay keeps its checkpoint and its leadership. */
export const FOLLOWER = 'kafka';

/** From 2,000 events a second on, batches grow as far apart as they may be. */
const BATCH_MS_PER_EVENT = 0.5;

/** How long reading the log may stand still when a relay takes over. */
const INSPECTION_STALL_MS = 15_000;

/**
 * Follows the events table and publishes it to Kafka: one leader among all instances, one batch in flight, a batch
 * confirmed by every partition before its checkpoint moves. After any failure it starts over from the stored checkpoint
 * with a new producer; what the log then holds twice has the same positions, and every reader drops repeats.
 */
export class Relay {
  readonly #options: RelayOptions;
  readonly #stop = new AbortController();
  #wake: () => void = () => undefined;
  #woken = false;
  #state: RelayState = { role: 'standby', position: 0n, failure: undefined };
  #running: Promise<void> | undefined;
  /** The end of `order.checkpoints` after what this instance said last. */
  #saidEnd = 0n;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  get state(): RelayState {
    return this.#state;
  }

  start(): void {
    const { leadership, onFailure } = this.#options;
    const failed = (error: Error) => {
      this.#state = { ...this.#state, failure: error.message };
      onFailure(error);
    };
    const lead = (term: Term) => this.#lead(term);
    this.#running = leadWheneverPossible({ ...leadership, name: FOLLOWER }, this.#stop.signal, lead, failed);
  }

  /** Tells a waiting relay that there is something to read. */
  wake(): void {
    this.#woken = true;
    this.#wake();
  }

  /** Finishes the batch in flight and gives up the leadership. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#state = { ...this.#state, role: 'stopped' };
  }

  async #lead(term: Term): Promise<void> {
    const { kafka, eventsMax, pollMsMin, pollMsMax, lookMs } = this.#options;
    let checkpoint = await this.#takeOver(term);
    const producer = await ConfirmedProducer.open(kafka);
    try {
      // Readers learn how far the log has come, though it has lost what was said before and nothing happens for long.
      await this.#say(producer, checkpoint);
      let pollMs = pollMsMin;
      let seenAt = performance.now();
      let ahead: Promise<StoredEvent[]> | undefined;
      while (!term.signal.aborted) {
        this.#state = { role: 'leader', position: checkpoint.position, failure: undefined };
        this.#woken = false;
        const startedAt = performance.now();
        const events = await (ahead ?? this.#read(term, checkpoint.position));
        ahead = undefined;
        if (events.length > 0) {
          ({ checkpoint, ahead } = await this.#publish(term, producer, checkpoint, events));
          pollMs = pollMsMin;
          seenAt = performance.now();
          const restMs = this.#batchMs(events.length) - (seenAt - startedAt);
          if (events.length < eventsMax && restMs > 0) await pause(restMs, term.signal);
        } else if (performance.now() - seenAt > lookMs) {
          await this.#look(term.signal, producer, checkpoint);
          seenAt = performance.now();
        } else {
          await this.#rest(pollMs, term.signal);
          pollMs = Math.min(pollMs * 2, pollMsMax);
        }
      }
    } catch (error) {
      // Before anything else lies where the last known record lay, and is taken for it.
      if (error instanceof LogLostError) await storeCheckpoint(term, distrusted(checkpoint, error.partitions));
      throw error;
    } finally {
      this.#state = { ...this.#state, role: 'standby' };
      await producer.close().catch(() => undefined);
    }
  }

  /**
   * A batch costs the same on every side whether it holds one event or a hundred, here and with each consumer: the more
   * there is to do, the more of it goes together.
   */
  #batchMs(events: number): number {
    const { batchMsMin, batchMsMax } = this.#options;
    return Math.min(batchMsMax, Math.max(batchMsMin, events * BATCH_MS_PER_EVENT));
  }

  async #read({ client }: Term, after: bigint): Promise<StoredEvent[]> {
    const { eventsMax, bytesMax } = this.#options;
    const { rows } = await client.query<StoredEvent>({
      name: 'read-events',
      text: `select position, order_id, version, type, data, at, traceparent
               from (select position, order_id, version, type, data::text, at, traceparent,
                            sum(octet_length(data::text)) over (order by position) - octet_length(data::text) as before
                       from events where position > $1 order by position limit $2) as next
              where before < $3 order by position`,
      values: [after, eventsMax, bytesMax],
    });
    return rows;
  }

  /** Sends one batch, then says how far the log has come: first in the log, then in the table the next leader reads. */
  async #publish(
    term: Term,
    producer: ConfirmedProducer,
    from: Checkpoint,
    events: readonly StoredEvent[],
  ): Promise<{ checkpoint: Checkpoint; ahead: Promise<StoredEvent[]> | undefined }> {
    const { topology, eventsMax, partitionBytesMax } = this.#options;
    const { records, next } = nextBatch(events, from, partitionBytesMax);
    // While it catches up, what comes next is read as this is sent.
    const ahead = events.length === eventsMax ? this.#read(term, next.position) : undefined;
    ahead?.catch(() => undefined); // It is awaited later, or never, when this batch fails.
    const ends = records.length === 0 ? new Map() : await producer.send(topology.topics.orderEvents, records);
    // If not, the checkpoint stays: whoever takes over sees for itself what is missing, and sends it again.
    expectContinued(from, records, ends);
    const checkpoint = confirmed(next, ends);
    await this.#say(producer, checkpoint);
    await storeCheckpoint(term, checkpoint);
    return { checkpoint, ahead };
  }

  async #say(producer: ConfirmedProducer, checkpoint: Checkpoint): Promise<void> {
    const { orderEvents, orderCheckpoints } = this.#options.topology.topics;
    const value = JSON.stringify(checkpointRecord(checkpoint));
    const ends = await producer.send(orderCheckpoints, [{ partition: 0, key: orderEvents, value }]);
    this.#saidEnd = ends.get(0) ?? 0n;
  }

  /** Compares the stored checkpoint with the log before anything is sent. */
  async #takeOver(term: Term): Promise<Checkpoint> {
    const { kafka, topology } = this.#options;
    const { checkpoint, newest } = await readCheckpoint(term);
    const log = await inspectLog(kafka, topology.topics.orderEvents, checkpoint, INSPECTION_STALL_MS);
    const next = takeOver(checkpoint, log, newest);
    const positions = [...log.values()].flatMap(({ last }) => last?.position ?? []);
    refuseStrangers(log, await readIds(term, positions));
    return next;
  }

  /**
   * A log that was lost while it is quiet is published again before somebody asks for it. The last checkpoint is said again
   * when it is not the last any more: a deposed leader that wakes up says less, and whoever begins to read hears that.
   */
  async #look(signal: AbortSignal, producer: ConfirmedProducer, checkpoint: Checkpoint): Promise<void> {
    const { kafka, topology } = this.#options;
    const { orderEvents, orderCheckpoints } = topology.topics;
    const { promise: over, resolve } = Promise.withResolvers<undefined>();
    const end = () => resolve(undefined);
    signal.addEventListener('abort', end, { once: true });
    try {
      const asked = Promise.all([endOffsets(kafka, orderEvents), endOffsets(kafka, orderCheckpoints)]);
      const found = await Promise.race([asked, over]);
      if (found === undefined) return;
      const [events, checkpoints] = found;
      expectKept(checkpoint, new Map([...events].map(([partition, { end }]) => [partition, end])));
      if (checkpoints.get(0)?.end !== this.#saidEnd) await this.#say(producer, checkpoint);
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  #rest(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#woken) return Promise.resolve();
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    return pause(ms, AbortSignal.any([signal, woken.signal]));
  }
}

async function readCheckpoint({ client }: Term): Promise<{ checkpoint: Checkpoint; newest: bigint }> {
  await client.query('insert into followers (name) values ($1) on conflict do nothing', [FOLLOWER]);
  const { rows } = await client.query<{
    epoch: string;
    count: number;
    position: bigint;
    partitions: { partition: number; position: string; endOffset: string }[];
    newest: bigint;
  }>(
    `select log.epoch, log.partitions as count, f.position, f.partitions,
            (select coalesce(max(position), 0) from events) as newest
       from log cross join followers f where f.name = $1`,
    [FOLLOWER],
  );
  const row = rows[0];
  if (row === undefined) throw new Error('The database knows no log yet: run the setup of orders.');
  const known = new Map(row.partitions.map((end) => [end.partition, end]));
  const partitions = Array.from({ length: row.count }, (_, partition) => ({
    partition,
    position: BigInt(known.get(partition)?.position ?? 0),
    endOffset: BigInt(known.get(partition)?.endOffset ?? 0),
  }));
  if (row.position > row.newest)
    throw new LogMismatchError(
      `The relay has published up to ${row.position}, but the database ends at ${row.newest}: events were removed. ` +
        'Run npm run recover.',
    );
  return { checkpoint: { epoch: row.epoch, position: row.position, partitions }, newest: row.newest };
}

/** The `ce_id` of the events at some positions. */
async function readIds({ client }: Term, positions: readonly bigint[]): Promise<Map<bigint, string>> {
  const { rows } = await client.query<{ position: bigint; order_id: string; version: number }>(
    'select position, order_id, version from events where position = any($1::bigint[])',
    [positions],
  );
  return new Map(rows.map((row) => [row.position, eventId(row)]));
}

/** Written over the leader's own connection: whoever has lost the lock has lost it too. */
async function storeCheckpoint({ client }: Term, { position, partitions }: Checkpoint): Promise<void> {
  const written = partitions.map(({ partition, position, endOffset }) => {
    return { partition, position: position.toString(), endOffset: endOffset.toString() };
  });
  await client.query({
    name: 'store-checkpoint',
    text: 'update followers set position = $2, partitions = $3, updated_at = now() where name = $1',
    values: [FOLLOWER, position, JSON.stringify(written)],
  });
}
