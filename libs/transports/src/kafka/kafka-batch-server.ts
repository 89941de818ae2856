import { Logger } from '@nestjs/common';
import { ServerKafka } from '@nestjs/microservices';
import { Kafka, logLevel, type Batch, type Consumer, type EachBatchPayload } from 'kafkajs';
import {
  clusterOf,
  isPlaceholder,
  partitionBounds,
  readCommitted,
  type Cluster,
  type FetchedPartition,
  type PartitionBounds,
} from './cluster.ts';
import { readHeadersAsText } from './header-texts.ts';
import { KafkaBatchContext, toRecord, type KafkaBatch } from './kafka-batch.ts';
import { LeaveGroupError } from './leave-group-error.ts';
import { RepositionError } from './reposition-error.ts';

export interface KafkaBatchServerOptions {
  brokers: string[];
  clientId: string;
  /** Taken as it is: nothing is added. */
  groupId: string;
  /** A group of this process alone, which is deleted when the server closes. */
  isGroupTemporary?: boolean;
  /** The topic of each pattern: `{ 'order.events': 'x.order.events' }`. Handlers of other patterns are left alone. */
  topics: Record<string, string>;
  /**
   * The next offset of a partition, from where the handler keeps it. Asked for before anything of the partition is handed
   * out, and again after its handler threw. What it throws holds the partition back, as what the handler throws does.
   */
  startAt: (topic: string, partition: number, bounds: PartitionBounds) => Promise<bigint>;
  /** Asked before each attempt to join the group: why this member must not. What it throws keeps nobody from joining. */
  whyNotJoin?: () => Promise<string | undefined>;
  sessionTimeoutMs?: number;
  heartbeatMs?: number;
  /** How many partitions may be in a handler at once. */
  partitionsMax?: number;
  /** The most that one fetch brings of one partition. */
  partitionBytesMax?: number;
  /** The pause after a failure: it doubles from the first to the second while the failure lasts. */
  retryMsMin?: number;
  retryMsMax?: number;
  /** How long `close` waits for the handlers that are running. */
  drainMsMax?: number;
}

/** One partition that this member holds. */
export interface PartitionState {
  readonly topic: string;
  readonly partition: number;
  /** The next offset to be handled, unknown until `startAt` has answered. */
  readonly nextOffset: bigint | undefined;
  /** Records between `nextOffset` and the last stable offset of the partition, when it was last seen. */
  readonly lag: bigint;
  /** Records behind the first of a transaction that is open, and since when that is so: nobody who reads committed sees them. */
  readonly held: { records: bigint; sinceMs: number } | undefined;
  /** Why it is held back, while it is. */
  readonly stalled: string | undefined;
}

export interface KafkaBatchServerState {
  /** Whether this member belongs to its group and has been told so lately. */
  readonly joined: boolean;
  /** Why it does not, if it is known. */
  readonly failure: string | undefined;
  readonly partitions: readonly PartitionState[];
}

/** A partition in the hands of this member. A rebalance makes a new one, so an old one can be told from it. */
class Cursor {
  /** Next offset that kafkajs must fetch; undefined while the partition is looked up. */
  fetchOffset: bigint | undefined;
  /** Next offset that the handler must get; differs from `fetchOffset` after records that a compaction has removed. */
  nextOffset: bigint | undefined;
  end = 0n;
  held: { records: bigint; sinceMs: number } | undefined;
  /** Why nothing was handed out, or why the handler threw. */
  failure: { at: 'start' | 'batch'; reason: string } | undefined;
  retryMs = 0;

  constructor(
    readonly topic: string,
    readonly pattern: string,
    readonly partition: number,
  ) {}
}

/**
 * Nest's Kafka transport with whole batches: an ordinary `@EventPattern('order.events', Transport.KAFKA)` handler gets a
 * `KafkaBatch` as its data and returns once it is done with it. Give the handler `@UseFilters(new BatchFailureFilter())`,
 * so that the reason of a failure gets here.
 *
 * Offsets are the handler's: they are read through `startAt` and never committed to Kafka, so there is one truth about
 * them and nothing to reconcile. Before a partition is positioned, and while its handler fails, it is paused, alone: the
 * others flow. Every batch must begin exactly where the cursor stands; anything else is dropped and looked up again, so no
 * asynchronous seek of kafkajs can let records through (kafkajs 2.2.4 does, after a join, a seek and OffsetOutOfRange).
 *
 * `listen` never fails because Kafka is away: the server reports through `state` and keeps trying until it is closed.
 */
export class KafkaBatchServer extends ServerKafka {
  protected override logger = new Logger(KafkaBatchServer.name);
  readonly #options: Required<KafkaBatchServerOptions>;
  readonly #cursors = new Map<string, Cursor>();
  readonly #closing = new AbortController();
  readonly #retries = new Set<Promise<void>>();
  #supervising: Promise<void> | undefined;
  #running: Consumer | undefined;
  /** Ends the consumer that is running. */
  #leave: (reason: string) => void = () => undefined;
  #cluster: Cluster | undefined;
  #bounds = new Map<string, Promise<Map<number, PartitionBounds>>>();
  #aliveAt = 0;
  #failure: string | undefined = 'has not joined its group yet';

  constructor(options: KafkaBatchServerOptions) {
    super({
      client: { brokers: options.brokers, clientId: options.clientId },
      consumer: { groupId: options.groupId },
      postfixId: '',
    });
    this.#options = { ...DEFAULTS, ...options };
  }

  get state(): KafkaBatchServerState {
    const isAlive = performance.now() - this.#aliveAt < 2 * this.#options.sessionTimeoutMs;
    const joined = this.#running !== undefined && this.#aliveAt > 0 && isAlive;
    const partitions = [...this.#cursors.values()].map((cursor) => {
      const { topic, partition, nextOffset, end, held, failure } = cursor;
      const lag = nextOffset === undefined || nextOffset > end ? 0n : end - nextOffset;
      return { topic, partition, nextOffset, lag, held, stalled: failure?.reason };
    });
    const failure = joined ? undefined : (this.#failure ?? 'the broker has not answered for a while');
    return { joined, failure, partitions };
  }

  override async listen(callback: (error?: unknown) => void): Promise<void> {
    this.client = await this.createClient<Kafka>();
    this.#supervising = this.#supervise();
    callback();
  }

  override async createClient<T = Kafka>(): Promise<T> {
    readHeadersAsText();
    const kafka = new Kafka({
      brokers: this.brokers,
      clientId: this.clientId,
      connectionTimeout: 3_000,
      requestTimeout: 30_000,
      retry: RETRY,
      // kafkajs logs each try of everything as an error; what matters is in `state` and logged when it changes.
      logLevel: logLevel.WARN,
      logCreator: () => (entry) => this.logger.debug(`${entry.namespace}: ${entry.log.message}`),
    });
    readCommitted(kafka, (topic, fetched) => this.#seen(topic, fetched));
    return kafka as T;
  }

  /** Stops fetching, waits for the running handlers (`drainMsMax` at most) and leaves the group. */
  override async close(): Promise<void> {
    this.#closing.abort();
    await within(this.#options.drainMsMax, this.#supervising);
    await within(this.#options.drainMsMax, Promise.all(this.#retries));
    await this.#closeCluster();
    this.client = null;
  }

  /**
   * Asks `startAt` again for partitions whose offset was moved by somebody else than their handler, which only the keeper of
   * the offsets can know: a partition in which nothing happens would never find out. Those of other members are left alone.
   */
  reposition(topic: string, partitions: readonly number[]): void {
    const consumer = this.#running;
    if (consumer === undefined || this.#closing.signal.aborted) return;
    for (const partition of partitions) {
      const cursor = this.#cursors.get(keyOf(topic, partition));
      // One that is being looked up asks anyway.
      if (cursor?.fetchOffset === undefined) continue;
      this.#hold(consumer, cursor);
      this.#look(consumer, cursor, 0);
    }
  }

  override unwrap<T>(): T {
    if (this.client === null) throw new Error('The server does not listen.');
    return [this.client, this.#running ?? null, null] as T;
  }

  /** One consumer after the other until the server is closed: kafkajs gives up on some errors, Tandem on none. */
  async #supervise(): Promise<void> {
    let retryMs = this.#options.retryMsMin;
    while (!this.#closing.signal.aborted) {
      const refusal = await this.#options.whyNotJoin().catch(() => undefined);
      if (refusal !== undefined) {
        this.#report(refusal);
        await pause(this.#options.retryMsMax, this.#closing.signal);
        continue;
      }
      const startedAt = performance.now();
      const failure = await this.#consume().catch((error: unknown) => reasonOf(error));
      if (this.#closing.signal.aborted) break;
      this.#report(failure);
      if (performance.now() - startedAt > 60_000) retryMs = this.#options.retryMsMin;
      await pause(retryMs, this.#closing.signal);
      retryMs = Math.min(2 * retryMs, this.#options.retryMsMax);
    }
    if (this.#options.isGroupTemporary) await this.#deleteGroup();
  }

  /** Consumes until the server is closed or kafkajs gives up, and resolves to why it did. */
  async #consume(): Promise<string> {
    const { groupId, topics, sessionTimeoutMs, heartbeatMs, partitionBytesMax, partitionsMax } = this.#options;
    const consumer = this.#kafka().consumer({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval: heartbeatMs,
      rebalanceTimeout: 2 * sessionTimeoutMs,
      // Leaving a group waits for the fetch that is under way, 5 s with the default of kafkajs.
      maxWaitTimeInMs: 100,
      maxBytesPerPartition: partitionBytesMax,
      maxBytes: 10 * partitionBytesMax,
      allowAutoTopicCreation: false,
      retry: { ...RETRY, restartOnFailure: async () => false },
    });
    const { signal } = this.#closing;
    const ended = Promise.withResolvers<string>();
    this.#leave = ended.resolve;
    const close = () => ended.resolve('closed');
    signal.addEventListener('abort', close, { once: true });
    consumer.on('consumer.crash', ({ payload }) => ended.resolve(reasonOf(payload.error)));
    consumer.on('consumer.group_join', ({ payload }) => this.#assign(consumer, payload.memberAssignment));
    consumer.on('consumer.heartbeat', () => this.#beat());
    consumer.on('consumer.start_batch_process', ({ payload }) => {
      if (payload.batchSize === 0) this.#skipFiltered(payload.topic, payload.partition, payload.lastOffset);
    });
    // Feeds Nest's own `status`.
    this.consumer = consumer as unknown as ServerKafka['consumer'];
    this.registerConsumerEventListeners();
    let started: Promise<void> | undefined;
    try {
      await consumer.connect();
      const subscribed = this.#patterns().map((pattern) => topics[pattern] as string);
      await consumer.subscribe({ topics: subscribed, fromBeginning: true }).catch((error: unknown) => {
        throw new Error(`${subscribed.join(', ')}: ${reasonOf(error)}`, { cause: error });
      });
      if (signal.aborted) return 'closed';
      this.#running = consumer;
      started = consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: partitionsMax,
        eachBatch: (payload) => this.#handleBatch(consumer, payload),
      });
      return await Promise.race([ended.promise, started.then(() => ended.promise)]);
    } finally {
      signal.removeEventListener('abort', close);
      // A consumer that is stopped while it joins would join all the same, and nobody would stop it then.
      await within(this.#options.drainMsMax, started);
      await within(this.#options.drainMsMax, consumer.disconnect());
      this.#running = undefined;
      this.#aliveAt = 0;
      this.#cursors.clear();
      await this.#closeCluster();
    }
  }

  /** The patterns that have both a handler and a topic. */
  #patterns(): string[] {
    const patterns = Object.keys(this.#options.topics).filter((pattern) => this.messageHandlers.has(pattern));
    if (patterns.length === 0) throw new Error('No handler is registered for any of the topics.');
    return patterns;
  }

  /**
   * A new assignment. kafkajs calls this before it fetches again, so pausing here, synchronously, keeps every partition
   * still until its offset is known.
   */
  #assign(consumer: Consumer, assignment: Record<string, number[]>): void {
    this.#cursors.clear();
    const patternOf = new Map(Object.entries(this.#options.topics).map(([pattern, topic]) => [topic, pattern]));
    for (const [topic, partitions] of Object.entries(assignment)) {
      const pattern = patternOf.get(topic);
      if (pattern === undefined) continue;
      consumer.pause([{ topic, partitions }]);
      for (const partition of partitions) {
        const cursor = new Cursor(topic, pattern, partition);
        this.#cursors.set(keyOf(topic, partition), cursor);
        this.#look(consumer, cursor, 0);
      }
    }
    this.#beat();
  }

  #beat(): void {
    if (!this.state.joined) this.logger.log(`Joined the group ${this.groupId}.`);
    this.#aliveAt = performance.now();
    this.#failure = undefined;
  }

  /** Asks where a partition goes on and resumes it there; tries again for as long as this member holds it. */
  #look(consumer: Consumer, cursor: Cursor, waitMs: number): void {
    cursor.fetchOffset = undefined;
    const { signal } = this.#closing;
    const retry = (async () => {
      let delayMs = waitMs;
      for (;;) {
        if (delayMs > 0) await pause(delayMs, signal);
        if (signal.aborted || !this.#holds(cursor)) return;
        try {
          return await this.#position(consumer, cursor);
        } catch (error) {
          this.#stall(cursor, 'start', reasonOf(error));
          delayMs = this.#nextRetryMs(cursor);
        }
      }
    })();
    this.#retries.add(retry);
    void retry.finally(() => this.#retries.delete(retry));
  }

  async #position(consumer: Consumer, cursor: Cursor): Promise<void> {
    const { topic, partition } = cursor;
    const bounds = (await this.#boundsOf(topic)).get(partition);
    if (bounds === undefined) throw new Error(`${topic} has no partition ${partition}`);
    const offset = await this.#options.startAt(topic, partition, bounds);
    if (offset < 0n || offset > bounds.end)
      throw new Error(`offset ${offset} is outside of the partition, which ends at ${bounds.end}`);
    if (!this.#holds(cursor)) return;
    cursor.fetchOffset = cursor.nextOffset = offset;
    cursor.end = bounds.end;
    if (cursor.failure?.at === 'start') this.#recover(cursor);
    consumer.seek({ topic, partition, offset: offset.toString() });
    consumer.resume([{ topic, partitions: [partition] }]);
  }

  /** The bounds of all partitions of a topic; those who ask at the same time share one request. */
  #boundsOf(topic: string): Promise<Map<number, PartitionBounds>> {
    const asked = this.#bounds.get(topic) ?? this.#askBounds(topic).finally(() => this.#bounds.delete(topic));
    this.#bounds.set(topic, asked);
    return asked;
  }

  async #askBounds(topic: string): Promise<Map<number, PartitionBounds>> {
    // An offset after the end means that the log was lost; one that is not stable yet does not.
    const cluster = (this.#cluster ??= clusterOf(this.#kafka(), 'uncommitted'));
    try {
      return await partitionBounds(cluster, topic);
    } catch (error) {
      await this.#closeCluster();
      throw error;
    } finally {
      // It was closed meanwhile, and may have connected again for this answer.
      if (this.#cluster !== cluster) await within(5_000, cluster.disconnect());
    }
  }

  async #handleBatch(consumer: Consumer, { batch, resolveOffset, heartbeat }: EachBatchPayload): Promise<void> {
    const cursor = this.#cursors.get(keyOf(batch.topic, batch.partition));
    // What was fetched before the partition was paused or given away is of no concern to anybody.
    if (cursor?.fetchOffset === undefined || cursor.nextOffset === undefined || this.#closing.signal.aborted) return;
    if (fetchedFrom(batch) !== cursor.fetchOffset) {
      this.#hold(consumer, cursor);
      return this.#look(consumer, cursor, 0);
    }
    const nextOffset = BigInt(batch.lastOffset()) + 1n;
    const beat = () => heartbeat().catch((error: unknown) => this.logger.debug(`Heartbeat: ${reasonOf(error)}`));
    const data: KafkaBatch = {
      topic: batch.topic,
      partition: batch.partition,
      firstOffset: cursor.nextOffset,
      nextOffset,
      records: batch.messages.filter((message) => !isPlaceholder(message)).map(toRecord),
      highWatermark: BigInt(batch.highWatermark),
      isStale: () => !this.#holds(cursor),
      heartbeat: beat,
    };
    cursor.end = data.highWatermark;
    // kafkajs sees a failed heartbeat again after the batch and rejoins then: here it must not interrupt the handler.
    const beating = setInterval(() => void beat(), this.#options.heartbeatMs);
    try {
      await this.handleEvent(cursor.pattern, { pattern: cursor.pattern, data }, new KafkaBatchContext(data, consumer));
      cursor.fetchOffset = cursor.nextOffset = nextOffset;
      this.#recover(cursor);
      resolveOffset(batch.lastOffset());
    } catch (error) {
      // A handler whose partition was taken away is expected to fail.
      if (!this.#holds(cursor)) return;
      this.#hold(consumer, cursor);
      if (error instanceof LeaveGroupError) return this.#leave(error.message);
      if (error instanceof RepositionError) return this.#look(consumer, cursor, 0);
      this.#stall(cursor, 'batch', reasonOf(error));
      this.#look(consumer, cursor, this.#nextRetryMs(cursor));
    } finally {
      clearInterval(beating);
    }
  }

  /** Keeps a partition still without a word to the group. */
  #hold(consumer: Consumer, { topic, partition }: Cursor): void {
    consumer.pause([{ topic, partitions: [partition] }]);
  }

  #seen(topic: string, { partition, highWatermark, lastStableOffset }: FetchedPartition): void {
    const cursor = this.#cursors.get(keyOf(topic, partition));
    if (cursor === undefined || lastStableOffset === undefined) return;
    cursor.end = BigInt(lastStableOffset);
    const records = BigInt(highWatermark) - cursor.end;
    cursor.held = records > 0n ? { records, sinceMs: cursor.held?.sinceMs ?? performance.now() } : undefined;
  }

  /** kafkajs hands out nothing where a compaction has removed all that was asked for: the cursor has to step over it. */
  #skipFiltered(topic: string, partition: number, lastOffset: string): void {
    const cursor = this.#cursors.get(keyOf(topic, partition));
    if (cursor?.fetchOffset !== undefined) cursor.fetchOffset = BigInt(lastOffset) + 1n;
  }

  #holds(cursor: Cursor): boolean {
    return this.#cursors.get(keyOf(cursor.topic, cursor.partition)) === cursor;
  }

  #nextRetryMs(cursor: Cursor): number {
    const { retryMsMin, retryMsMax } = this.#options;
    cursor.retryMs = cursor.retryMs === 0 ? retryMsMin : Math.min(2 * cursor.retryMs, retryMsMax);
    return cursor.retryMs;
  }

  #stall(cursor: Cursor, at: 'start' | 'batch', reason: string): void {
    if (cursor.failure?.reason !== reason)
      this.logger.error(`Partition ${cursor.partition} of ${cursor.topic} is held back: ${reason}`);
    cursor.failure = { at, reason };
  }

  #recover(cursor: Cursor): void {
    if (cursor.failure !== undefined) this.logger.log(`Partition ${cursor.partition} of ${cursor.topic} goes on.`);
    cursor.failure = undefined;
    cursor.retryMs = 0;
  }

  #report(failure: string): void {
    if (this.#failure !== failure) this.logger.error(`Not consuming as ${this.groupId}: ${failure}`);
    this.#failure = failure;
  }

  #kafka(): Kafka {
    if (this.client === null) throw new Error('The server does not listen.');
    return this.client as unknown as Kafka;
  }

  async #closeCluster(): Promise<void> {
    const cluster = this.#cluster;
    this.#cluster = undefined;
    await within(5_000, cluster?.disconnect());
  }

  /** A group that is left behind expires by itself: not worth failing for. */
  async #deleteGroup(): Promise<void> {
    const admin = this.#kafka().admin();
    const deletion = admin.connect().then(() => admin.deleteGroups([this.groupId]));
    await within(5_000, deletion);
    await within(5_000, admin.disconnect());
  }
}

const DEFAULTS = {
  isGroupTemporary: false,
  whyNotJoin: () => Promise.resolve(undefined),
  sessionTimeoutMs: 6_000,
  heartbeatMs: 500,
  partitionsMax: 3,
  partitionBytesMax: 1_048_576,
  retryMsMin: 250,
  retryMsMax: 5_000,
  drainMsMax: 10_000,
} satisfies Partial<KafkaBatchServerOptions>;

/** Short: the supervisor tries for ever, and says so, where kafkajs would hide an outage for minutes. */
const RETRY = { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000 };

const keyOf = (topic: string, partition: number) => `${topic}/${partition}`;

/** The offset that was asked for, which kafkajs 2.2.4 has on its batches though its types do not say so. */
const fetchedFrom = (batch: Batch) => BigInt((batch as Batch & { fetchedOffset: string }).fetchedOffset);

/** The message of whatever was thrown; Nest's filters throw objects that are no errors. */
function reasonOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string')
    return error.message === '' && error instanceof AggregateError
      ? error.errors.map(reasonOf).join(', ')
      : error.message;
  return String(error);
}

/** Waits for work, but no longer than `ms`; what it rejects with is of no use any more. */
async function within(ms: number, work: Promise<unknown> | undefined): Promise<void> {
  if (work === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}

/** Resolves after `ms` milliseconds, or at once when `signal` is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
