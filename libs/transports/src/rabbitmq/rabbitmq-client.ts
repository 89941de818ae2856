import { ClientRMQ, RmqRecord, type ReadPacket, type RmqStatus, type WritePacket } from '@nestjs/microservices';
import { MeasuredClock } from '@tandem/postgres/clock';
import type { AmqpConnectionManager } from 'amqp-connection-manager';
import type { Channel, ConfirmChannel, ConsumeMessage, Message, Options } from 'amqplib';
import { closeConnection, KeptChannel, openConnection, within } from './connection.ts';
import { NotTakenError, OutcomeUnknownError, RemoteError, toCallerError } from './errors.ts';
import { Slots } from './slots.ts';
import {
  ANSWERED_AT,
  BATCH_BYTES_MAX,
  BATCH_CONTENT_TYPE,
  BATCH_ITEMS_MAX,
  batchBody,
  batches,
  idsOf,
  MESSAGE_BYTES_MAX,
  readReply,
  SENT_AT,
  type ReplyItem,
} from './wire.ts';

export interface RabbitMqClientOptions {
  /** `amqp://user:password@host:port` */
  url: string;
  /** The queue that all requests go to. Its consumer declares it. */
  queue: string;
  /** Shown in RabbitMQ's list of connections. */
  name: string;
  /** How long a request waits for its answer unless it says otherwise. */
  deadlineMs: number;
  /** How many requests may wait for an answer at once; the next is refused at once. */
  inFlightMax: number;
  /**
   * How long the last of those that wait may have to, in milliseconds: at the rate at which answers come, fewer may wait than
   * `inFlightMax`. Unset, only that counts.
   */
  waitMsMax?: number;
  /** How many requests one message may hold, 64 unless set. 1 sends each as stock Nest does, which a stock server needs. */
  batchItemsMax?: number;
  /** How large one message of several requests may be, 256 KiB unless set. */
  batchBytesMax?: number;
  /** Another client's, of the same service, so that what one has learned helps the other. */
  clock?: MeasuredClock;
}

export interface RequestOptions {
  /**
   * How long to wait for the answer. A service of this repository does not begin later than that either, if one of its answers
   * has told its time before; it may take it for later than it is by one round trip. Of a first request, and at a service
   * without a clock, the time on its way does not count.
   */
  deadlineMs?: number;
  /** W3C trace context that the handler sees. */
  traceparent?: string;
  tracestate?: string;
}

/**
 * Nest's RabbitMQ client with honest outcomes. Requests of one turn of the event loop travel in one message.
 *
 * A request settles once, in one of these ways: the answer; `RemoteError`, the service's own; `NotTakenError`, it was
 * provably not handed over or nothing was done; `OutcomeUnknownError`, it was handed over and no answer came in time.
 * Nothing is kept for later: while the broker is away, requests are refused at once.
 *
 * A handler answers once: of a stream that a stock server answers with, the first value counts.
 */
export class RabbitMqClient extends ClientRMQ {
  readonly #settings: Required<Omit<RabbitMqClientOptions, 'waitMsMax' | 'clock'>>;
  readonly #slots: Slots;
  /** The service's time, as its answers tell it. */
  readonly clock: MeasuredClock;
  /** What waits for an answer, by id. Ids are never used twice, so a late answer finds nobody. */
  readonly #waiting = new Map<string, Waiting>();
  #lastId = 0;
  /** What this turn of the event loop has gathered. */
  #gathered: Waiting[] = [];
  #waitingBytes = 0;
  /** Events that the broker has not confirmed yet, by message id. */
  readonly #confirming = new Map<string, (error?: Error) => void>();
  #requests: KeptChannel<Channel> | undefined;
  #events: KeptChannel<ConfirmChannel> | undefined;
  #looks: KeptChannel<Channel> | undefined;
  #look: NodeJS.Timeout | undefined;
  /** Since when each look has seen the queue without a consumer, and for how long by the last of them. */
  #withoutSince: number | undefined;
  #withoutMs = 0;
  #started: Promise<void> | undefined;
  /** Resolves what `connect` returned. */
  #attempted: (() => void) | undefined;
  #closed: Promise<void> | undefined;
  #manager: AmqpConnectionManager | undefined;
  #blocked = false;
  #full = false;
  #closing = false;
  #reason: string | undefined = 'not connected yet';
  #sweep: NodeJS.Timeout | undefined;
  /** Resolved when nothing waits for an answer any more; only a closing client asks. */
  #drained: (() => void) | undefined;

  constructor(options: RabbitMqClientOptions) {
    super({ urls: [options.url], queue: options.queue, noAssert: true });
    const { batchItemsMax = BATCH_ITEMS_MAX, batchBytesMax = BATCH_BYTES_MAX } = options;
    this.#settings = { ...options, batchItemsMax, batchBytesMax };
    this.#slots = new Slots(options.inFlightMax, options.waitMsMax);
    this.clock = options.clock ?? new MeasuredClock();
    if (!(batchItemsMax >= 1 && batchItemsMax <= BATCH_ITEMS_MAX))
      throw new RangeError(`batchItemsMax must be between 1 and ${BATCH_ITEMS_MAX}, not ${batchItemsMax}`);
    if (!(batchBytesMax >= 1 && batchBytesMax <= BATCH_BYTES_MAX))
      throw new RangeError(`batchBytesMax must be between 1 and ${BATCH_BYTES_MAX}, not ${batchBytesMax}`);
  }

  /** Whether a request would be handed over now: connected, replies are consumed, and the broker takes messages. */
  get ready(): boolean {
    return this.notReadyReason === undefined;
  }

  /** Whether as many requests wait for an answer as may: the next would be refused. */
  get full(): boolean {
    return this.#waiting.size >= this.#slots.count;
  }

  /**
   * Set while nobody takes requests from the queue: at every look for two seconds, so that a consumer that connects again is waited
   * for. Until one is there, requests are refused at once, instead of one deadline later.
   */
  get desertedReason(): string | undefined {
    return this.#withoutMs < DESERTED_MS ? undefined : `nobody takes requests from ${this.#settings.queue}`;
  }

  /** Why the client is not ready, in words for a health check. */
  get notReadyReason(): string | undefined {
    if (this.#closing) return 'closing';
    if (this.#requests?.current === undefined || this.#events?.current === undefined)
      return this.#reason ?? 'not connected';
    return this.#blocked ? 'RabbitMQ blocks publishers (an alarm of memory or disk)' : undefined;
  }

  /**
   * Starts connecting and keeps at it until `close`. Resolves when the client is ready or the first attempt has failed,
   * within seconds; never rejects because the broker is away.
   */
  override connect(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /**
   * Sends a request and waits for its answer. The same as `send`, without the cost of an Observable.
   *
   * @throws NotTakenError, OutcomeUnknownError, RemoteError; TypeError when the data cannot be written as JSON.
   */
  request<T>(pattern: string, data: unknown, options: RequestOptions = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#gather(pattern, data, options, resolve as (response: unknown) => void, reject, undefined);
    });
  }

  /** Refuses new requests, waits for the answers of those in flight (ten seconds at most), and disconnects. */
  override close(): Promise<void> {
    if (this.#manager === undefined) return Promise.resolve();
    this.#closed ??= this.#close(this.#manager).finally(() => (this.#closed = undefined));
    return this.#closed;
  }

  async #close(manager: AmqpConnectionManager): Promise<void> {
    this.#closing = true;
    this.#attempted?.();
    this.#flush();
    if (this.#waiting.size > 0 || this.#confirming.size > 0) {
      const drained = new Promise<void>((resolve) => (this.#drained = resolve));
      await within(DRAIN_MS_MAX, drained);
    }
    clearTimeout(this.#look);
    await Promise.all([this.#requests?.close(), this.#events?.close(), this.#looks?.close()]);
    await closeConnection(manager);
    clearInterval(this.#sweep);
    this.#sweep = this.#drained = this.#attempted = undefined;
    this.#manager = this.#requests = this.#events = this.#looks = this.#started = undefined;
    this.client = null;
    this.#blocked = this.#full = this.#closing = false;
    this.#reason = 'closed';
  }

  /** Nest's `send`: the Observable emits the answer and completes, or errors as `request` rejects. */
  protected override publish(packet: ReadPacket, callback: (packet: WritePacket) => unknown): () => void {
    const record = packet.data instanceof RmqRecord ? (packet.data as RmqRecord) : undefined;
    const waiting = this.#gather(
      this.#patternText(packet.pattern),
      record === undefined ? packet.data : record.data,
      {},
      (response) => callback({ response, isDisposed: true }),
      (err) => callback({ err }),
      record?.options,
    );
    return () => {
      if (waiting !== undefined) this.#forget(waiting);
    };
  }

  /** Nest's `emit`: resolves when the broker has confirmed the message and a queue holds it. */
  protected override async dispatchEvent(packet: ReadPacket): Promise<void> {
    const record = packet.data instanceof RmqRecord ? (packet.data as RmqRecord) : undefined;
    const pattern = JSON.stringify(packet.pattern);
    const content = Buffer.from(
      `{"pattern":${pattern},"data":${stringify(record === undefined ? packet.data : record.data)}}`,
    );
    const channel = this.#events?.current;
    if (channel === undefined || !this.ready) throw new NotTakenError(this.notReadyReason ?? 'not connected');
    if (this.#confirming.size >= this.#settings.inFlightMax)
      throw new NotTakenError(`${this.#confirming.size} events wait for the broker's confirmation`);
    const { deadlineMs, queue } = this.#settings;
    const messageId = `event-${++this.#lastId}`;
    const options = {
      ...(record?.options as Options.Publish | undefined),
      messageId,
      mandatory: true,
      persistent: true,
    };
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer);
        if (!this.#confirming.delete(messageId)) return;
        if (error === undefined) resolve();
        else reject(error);
        this.#noteDrained();
      };
      const timer = setTimeout(
        () => settle(new OutcomeUnknownError(`Not confirmed within ${deadlineMs} ms`)),
        deadlineMs,
      );
      this.#confirming.set(messageId, settle);
      try {
        channel.publish('', queue, content, options, (error: unknown) =>
          settle(error ? new OutcomeUnknownError('The broker did not confirm', { cause: error }) : undefined),
        );
      } catch (error) {
        settle(publishFailure(error));
      }
    });
  }

  async #start(): Promise<void> {
    const manager = openConnection(this.#settings.url, this.#settings.name);
    this.#manager = manager;
    this.client = manager;
    for (const { event, callback } of this.pendingEventListeners) manager.on(event, callback as () => void);
    this.pendingEventListeners = [];
    const firstAttempt = new Promise<void>((resolve) => (this.#attempted = resolve));
    this.#watch(manager);
    const opened = () => {
      if (this.#requests?.current === undefined || this.#events?.current === undefined) return;
      this.#reason = undefined;
      this.#attempted?.();
    };
    this.#requests = new KeptChannel(manager, {
      open: (connection) => connection.createChannel({ highWaterMark: CHANNEL_WRITES_MAX }),
      setUp: (channel) => this.#setUp(channel),
      opened: () => {
        this.#full = false;
        opened();
      },
      lost: (reason) => this.#lost(reason),
      failed: (error) => {
        this.#reason = `replies cannot be consumed: ${error.message}`;
        this.logger.error(this.#reason);
        this.#attempted?.();
      },
    });
    this.#events = new KeptChannel(manager, {
      open: (connection) => connection.createConfirmChannel({ highWaterMark: CHANNEL_WRITES_MAX }),
      setUp: (channel) => {
        // The broker confirms an unroutable message too, but returns it first.
        channel.on('return', ({ properties }: Message) =>
          this.#confirming.get(properties.messageId as string)?.(this.#noQueue()),
        );
        return Promise.resolve();
      },
      opened,
      // amqplib itself tells every publish that was not confirmed.
      lost: () => undefined,
      failed: (error) => this.logger.error(`No channel for events: ${error.message}`),
    });
    // A channel of its own: to look at a queue that is not there closes it.
    this.#looks = new KeptChannel(manager, {
      open: (connection) => connection.createChannel(),
      setUp: () => Promise.resolve(),
      opened: () => undefined,
      lost: () => this.#seen(true),
      failed: () => undefined,
    });
    this.#lookLater();
    await firstAttempt;
  }

  #lookLater(): void {
    // Soon, when somebody is waited for.
    const lookMs = this.#withoutSince === undefined ? LOOK_MS : LOOK_MS / 4;
    this.#look = setTimeout(() => {
      void this.#lookForConsumers().finally(() => {
        if (this.#manager !== undefined && !this.#closing) this.#lookLater();
      });
    }, lookMs).unref();
  }

  #seen(isServed: boolean): void {
    const now = performance.now();
    this.#withoutSince = isServed ? undefined : (this.#withoutSince ?? now);
    this.#withoutMs = now - (this.#withoutSince ?? now);
  }

  async #lookForConsumers(): Promise<void> {
    const channel = this.#looks?.current;
    if (channel === undefined) return;
    try {
      const { consumerCount } = await channel.checkQueue(this.#settings.queue);
      if (this.#looks?.current === channel) this.#seen(consumerCount > 0);
    } catch {
      // There is no such queue, which closes the channel, or the connection has gone: the broker returns requests, or refuses them.
      this.#seen(true);
    }
  }

  #watch(manager: AmqpConnectionManager): void {
    let failing = false;
    manager.on('connect', () => {
      failing = false;
      this._status$.next('connected' as RmqStatus);
      this.logger.log(`Connected to RabbitMQ for ${this.#settings.queue}`);
    });
    manager.on('connectFailed', ({ err }) => {
      this.#reason = `RabbitMQ cannot be reached: ${err.message}`;
      // Once an outage, not five times a second.
      if (!failing) this.logger.error(this.#reason);
      failing = true;
      this.#attempted?.();
    });
    manager.on('disconnect', ({ err }) => {
      this.#blocked = false;
      this.#reason = `disconnected from RabbitMQ: ${(err as Error | undefined)?.message ?? 'closed'}`;
      this._status$.next('disconnected' as RmqStatus);
      if (!this.#closing) this.logger.error(this.#reason);
    });
    manager.on('blocked', ({ reason }) => {
      this.#blocked = true;
      this._status$.next('blocked' as RmqStatus);
      this.logger.warn(`RabbitMQ blocks publishers: ${reason}`);
    });
    manager.on('unblocked', () => {
      this.#blocked = false;
      this._status$.next('unblocked' as RmqStatus);
      this.logger.log('RabbitMQ takes messages again');
    });
  }

  /** The reply consumer comes first: a request sent before it would be refused by the broker, with its channel. */
  async #setUp(channel: Channel): Promise<void> {
    channel.on('return', (message: Message) => this.#returned(message));
    channel.on('drain', () => (this.#full = false));
    await channel.consume(REPLY_QUEUE, (message) => this.#reply(message), { noAck: true });
  }

  #gather(
    pattern: string,
    data: unknown,
    { deadlineMs: wanted = this.#settings.deadlineMs, traceparent, tracestate }: RequestOptions,
    resolve: (response: unknown) => void,
    reject: (error: Error) => void,
    alone: Options.Publish | undefined,
  ): Waiting | undefined {
    const deadlineMs = Math.min(wanted, DEADLINE_MS_MAX);
    const refusal = this.#refusal(deadlineMs);
    if (refusal !== undefined) {
      reject(refusal);
      return undefined;
    }
    const id = String(++this.#lastId);
    let json: string;
    try {
      json = `{"pattern":${JSON.stringify(pattern)},"data":${stringify(data)},"id":"${id}"`;
    } catch (error) {
      reject(error as Error);
      return undefined;
    }
    const bytes = Buffer.byteLength(json) + ITEM_OVERHEAD_BYTES;
    if (bytes > MESSAGE_BYTES_MAX) {
      reject(new RemoteError('invalid_message', `${bytes} bytes, more than ${MESSAGE_BYTES_MAX}`));
      return undefined;
    }
    if (this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      reject(new NotTakenError(`Requests of ${this.#waitingBytes} bytes wait for an answer`));
      return undefined;
    }
    const deadlineAt = performance.now() + deadlineMs;
    const waiting = {
      id,
      json,
      bytes,
      deadlineMs,
      deadlineAt,
      traceparent,
      tracestate,
      alone,
      resolve,
      reject,
      sentAt: undefined,
    };
    this.#waiting.set(id, waiting);
    this.#waitingBytes += bytes;
    this.#sweep ??= setInterval(() => this.#expire(), SWEEP_MS).unref();
    // After the reads of this turn: everything that arrived with them goes into the same messages.
    if (this.#gathered.push(waiting) === 1) setImmediate(() => this.#flush());
    return waiting;
  }

  #refusal(deadlineMs: number): NotTakenError | undefined {
    const reason = this.notReadyReason;
    if (reason !== undefined) return new NotTakenError(reason);
    if (this.#full) return new NotTakenError('RabbitMQ takes messages slower than they come');
    if (this.full) return new NotTakenError(`${this.#waiting.size} requests wait for an answer`);
    if (this.desertedReason !== undefined) return new NotTakenError(this.desertedReason);
    return deadlineMs > 0 ? undefined : new NotTakenError('The deadline has passed');
  }

  #flush(): void {
    const gathered = this.#gathered;
    if (gathered.length === 0) return;
    this.#gathered = [];
    const together: Waiting[] = [];
    for (const waiting of gathered) {
      // Somebody unsubscribed, or the connection was lost meanwhile.
      if (this.#waiting.get(waiting.id) !== waiting) continue;
      if (waiting.alone === undefined) together.push(waiting);
      else this.#handOver([waiting]);
    }
    const { batchItemsMax, batchBytesMax } = this.#settings;
    for (const batch of batches(together, batchItemsMax, batchBytesMax)) this.#handOver(batch);
  }

  #handOver(batch: Waiting[]): void {
    const channel = this.#requests?.current;
    if (channel === undefined || this.#blocked) {
      const error = new NotTakenError(this.notReadyReason ?? 'not connected');
      for (const waiting of batch) this.#settle(waiting, error);
      return;
    }
    const [first] = batch as [Waiting];
    const now = performance.now();
    const { content, options } = batch.length === 1 ? single(first, now) : coalesced(batch, now);
    // The latest that it may be there: what is told must never seem older than it is.
    if (this.clock.isMeasured) options.headers = { ...options.headers, [SENT_AT]: Math.ceil(this.clock.latestMs()) };
    for (const waiting of batch) waiting.sentAt = now;
    try {
      if (!channel.publish('', this.#settings.queue, content, options)) this.#full = true;
    } catch (error) {
      const failure = publishFailure(error);
      for (const waiting of batch) this.#settle(waiting, failure);
    }
  }

  #reply(message: ConsumeMessage | null): void {
    if (message === null) {
      this.#requests?.renew(new Error('The broker cancelled the consumer of replies'));
      return;
    }
    const answers = readReply(message);
    if (answers === undefined) {
      this.logger.error('A batch of replies could not be read; its requests wait for their deadlines');
      return;
    }
    const answeredAt: unknown = message.properties.headers?.[ANSWERED_AT];
    if (typeof answeredAt === 'number') this.#learnTime(answers, answeredAt);
    for (const answer of answers) this.#answered(answer);
  }

  /** Between the last of the requests and now was when it was answered. */
  #learnTime(answers: readonly ReplyItem[], answeredAt: number): void {
    let sentAt = -Infinity;
    for (const { id } of answers) sentAt = Math.max(sentAt, this.#waiting.get(id ?? '')?.sentAt ?? -Infinity);
    if (sentAt > -Infinity) this.clock.learn(sentAt, performance.now(), answeredAt);
  }

  #answered({ id, wellFormed, response, err }: ReplyItem): void {
    const waiting = id === undefined ? undefined : this.#waiting.get(id);
    // Late, or a repeat after a redelivery: its request was settled before.
    if (waiting === undefined) return;
    if (!wellFormed) this.#settle(waiting, new OutcomeUnknownError('The answer could not be read'));
    else if (err !== undefined) this.#settle(waiting, toCallerError(err));
    else if (this.#forget(waiting)) waiting.resolve(response);
    this.#slots.answered();
  }

  #returned(message: Message): void {
    const error = this.#noQueue();
    for (const id of idsOf(message)) {
      const waiting = this.#waiting.get(id);
      if (waiting !== undefined) this.#settle(waiting, error);
    }
  }

  #noQueue(): NotTakenError {
    return new NotTakenError(`There is no queue ${this.#settings.queue}`);
  }

  #lost(reason: Error): void {
    this.#reason = reason.message;
    const unknown = new OutcomeUnknownError(`No answer: ${reason.message}`, { cause: reason });
    const notTaken = new NotTakenError(`Not sent: ${reason.message}`, { cause: reason });
    for (const waiting of [...this.#waiting.values()])
      this.#settle(waiting, waiting.sentAt !== undefined ? unknown : notTaken);
  }

  #expire(): void {
    const now = performance.now();
    this.#slots.look(now, this.#waiting.size);
    for (const waiting of this.#waiting.values()) {
      if (waiting.deadlineAt > now) continue;
      this.#settle(
        waiting,
        waiting.sentAt !== undefined
          ? new OutcomeUnknownError(`No answer within ${waiting.deadlineMs} ms`)
          : new NotTakenError('The deadline passed before it could be sent'),
      );
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #settle(waiting: Waiting, error: Error): void {
    if (this.#forget(waiting)) waiting.reject(error);
  }

  #forget(waiting: Waiting): boolean {
    if (!this.#waiting.delete(waiting.id)) return false;
    this.#waitingBytes -= waiting.bytes;
    this.#noteDrained();
    return true;
  }

  #noteDrained(): void {
    if (this.#waiting.size === 0 && this.#confirming.size === 0) this.#drained?.();
  }

  #patternText(pattern: unknown): string {
    return typeof pattern === 'string' ? pattern : this.normalizePattern(pattern as never);
  }
}

/** RabbitMQ's direct reply-to: answers come to this channel without a queue. https://www.rabbitmq.com/docs/direct-reply-to */
const REPLY_QUEUE = 'amq.rabbitmq.reply-to';
/** Frames that may wait in a channel for the socket; a message is one to three of them. Twice as many fit, see Transform. */
const CHANNEL_WRITES_MAX = 256;
const DRAIN_MS_MAX = 10_000;
/** How often it is looked whether the queue has a consumer (four times as often while it has none), and how long it must have none. */
const LOOK_MS = 1_000;
const DESERTED_MS = 2_000;
/** A longer deadline is cut to this; RabbitMQ's expiration has a limit too. */
const DEADLINE_MS_MAX = 86_400_000;
/** Of all requests that wait for an answer. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;
/** How late a missed deadline may be noticed. One scan for all requests costs less than a timer for each. */
const SWEEP_MS = 20;
/** Deadline, trace context and brackets around an item's own JSON. */
const ITEM_OVERHEAD_BYTES = 128;

interface Waiting {
  id: string;
  /** `{"pattern":…,"data":…,"id":…`, left open for what a batch adds. */
  json: string;
  bytes: number;
  deadlineMs: number;
  /** On the clock of `performance.now()`. */
  deadlineAt: number;
  traceparent: string | undefined;
  tracestate: string | undefined;
  /** Options of an `RmqRecord`, which belong to a message of its own. */
  alone: Options.Publish | undefined;
  resolve: (response: unknown) => void;
  reject: (error: Error) => void;
  /** When it was handed over, by `performance.now()`; undefined before. */
  sentAt: number | undefined;
}

/** One request, exactly as stock Nest sends it; what Tandem adds is in the headers. */
function single(
  { id, json, deadlineAt, traceparent, tracestate, alone }: Waiting,
  now: number,
): { content: Buffer; options: Options.Publish } {
  const expiration = remainingOf(deadlineAt, now);
  return {
    content: Buffer.from(`${json}}`),
    options: {
      ...alone,
      replyTo: REPLY_QUEUE,
      correlationId: id,
      mandatory: true,
      expiration,
      headers: {
        ...(alone?.headers as Record<string, unknown> | undefined),
        'x-deadline-ms': expiration,
        ...(traceparent === undefined ? {} : { traceparent }),
        ...(tracestate === undefined ? {} : { tracestate }),
      },
    },
  };
}

function coalesced(batch: Waiting[], now: number): { content: Buffer; options: Options.Publish } {
  let longestMs = 0;
  const items = batch.map(({ json, deadlineAt, traceparent, tracestate }) => {
    const deadlineMs = remainingOf(deadlineAt, now);
    longestMs = Math.max(longestMs, deadlineMs);
    const trace = traceparent === undefined ? '' : `,"traceparent":${JSON.stringify(traceparent)}`;
    const state = tracestate === undefined ? '' : `,"tracestate":${JSON.stringify(tracestate)}`;
    return `${json},"deadlineMs":${deadlineMs}${trace}${state}}`;
  });
  return {
    content: batchBody(items),
    // The last caller to give up decides; each item carries its own deadline too.
    options: {
      replyTo: REPLY_QUEUE,
      contentType: BATCH_CONTENT_TYPE,
      mandatory: true,
      expiration: longestMs,
    },
  };
}

/** In whole milliseconds, one at least: none would be returned at once by the broker. */
const remainingOf = (deadlineAt: number, now: number) => Math.max(1, Math.ceil(deadlineAt - now));

/** A channel that is closing throws before it writes anything; of any other error that is not certain. */
function publishFailure(error: unknown): NotTakenError | OutcomeUnknownError {
  return error instanceof Error && error.name === 'IllegalOperationError'
    ? new NotTakenError('The channel is closing', { cause: error })
    : new OutcomeUnknownError('Publishing failed', { cause: error });
}

function stringify(data: unknown): string {
  const json = JSON.stringify(data) as string | undefined;
  if (json === undefined) throw new TypeError(`${typeof data} cannot be written as JSON`);
  return json;
}
