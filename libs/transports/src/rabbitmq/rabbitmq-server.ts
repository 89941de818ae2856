import { setTimeout as pause } from 'node:timers/promises';
import { type MessageHandler, RmqContext, type RmqStatus, ServerRMQ } from '@nestjs/microservices';
import type { AmqpConnectionManager } from 'amqp-connection-manager';
import type { MeasuredClock } from '@tandem/postgres/clock';
import type { Channel, ConsumeMessage, MessageProperties } from 'amqplib';
import { isObservable, lastValueFrom } from 'rxjs';
import { closeConnection, KeptChannel, openConnection, within } from './connection.ts';
import { ExpiredError, isUnexpected, toWireError, type WireError, type WireErrorCode } from './errors.ts';
import {
  ANSWERED_AT,
  BATCH_BYTES_MAX,
  BATCH_CONTENT_TYPE,
  BATCH_ITEMS_MAX,
  batchBody,
  batches,
  readRequest,
  SENT_AT,
  type BadItem,
  type RequestItem,
} from './wire.ts';

export interface RabbitMqServerOptions {
  /** `amqp://user:password@host:port` */
  url: string;
  /** Declared durable and classic, as a stock client with `queueOptions: { durable: true }` does. */
  queue: string;
  /** Shown in RabbitMQ's list of connections. */
  name: string;
  /** How many messages may be under way at once; each holds up to 64 requests. */
  prefetchCount: number;
  /** The only patterns answered here, where handlers of several queues share a process. All unless set. */
  patterns?: readonly string[];
  /**
   * Keeps a message that cannot be read, or an event that nobody handled; it is acked afterwards. When it throws, the
   * message goes back to the queue. Without it such messages are rejected, to the queue's dead-letter exchange if it has one.
   */
  park?: (message: UnreadableMessage) => Promise<void>;
  /** How large one message of several answers may be, 256 KiB unless set. */
  replyBytesMax?: number;
  /**
   * A time that all instances of the service share. Answers tell it, so that callers can say when they sent a request, and
   * deadlines run from then on. Without it they run from the delivery.
   */
  clock?: MeasuredClock;
}

/** What `park` is given. */
export interface UnreadableMessage {
  queue: string;
  reason: string;
  /** The whole message, or one item of a batch as JSON. */
  content: Buffer;
  properties: MessageProperties;
}

/** What a handler may know of its request: `@Ctx() context: RequestContext`. */
export class RequestContext extends RmqContext {
  /** W3C trace context of the caller. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  readonly #deadlineAt: number;

  constructor(
    message: ConsumeMessage,
    channel: Channel,
    item: RequestItem,
    deadlineAt: number,
    /**
     * Acks the request's message before its answer, so that a request that only waits holds back no others. Only for what changes
     * nothing: if the service dies, nobody answers it.
     */
    readonly release: () => void = () => undefined,
  ) {
    super([message, channel, item.pattern]);
    this.#deadlineAt = deadlineAt;
    this.traceparent = item.traceparent;
    this.tracestate = item.tracestate;
  }

  /**
   * How long the caller still waits; Infinity when it did not say. Counted from the sending, as far as the caller knows this
   * service's time (it may seem later than it was, by no more than its fastest round trip), else from the delivery.
   */
  remainingMs(): number {
    return this.#deadlineAt - performance.now();
  }
}

/**
 * Nest's RabbitMQ server with acks that mean done: a message is acked when each of its requests is settled and its answer
 * handed over. Answers of one turn of the event loop to one caller travel in one message and never wait for each other.
 *
 * Messages that were redelivered are run: handlers must be repeatable. When such a run does nothing, the one before may have
 * done it, so that nobody is told that nothing was done. A message with `replyTo` is a request, one without
 * is an event. A handler answers once; of an Observable the last value counts.
 */
export class RabbitMqServer extends ServerRMQ {
  /** Failures of event handlers come here, to be parked, instead of being logged and forgotten. */
  override readonly propagatesEventHandlerErrors = true;
  readonly #settings: RabbitMqServerOptions;
  readonly #allowed: ReadonlySet<string> | undefined;
  /** What was delivered and is neither acked nor returned. */
  readonly #deliveries = new Set<Delivery>();
  /** Answers that this turn of the event loop has gathered, or that wait for their channel. */
  #answers: Answer[] = [];
  #answersBytes = 0;
  #flushing = false;
  #retry: NodeJS.Timeout | undefined;
  #connections: AmqpConnectionManager[] = [];
  #consumer: KeptChannel<Channel> | undefined;
  #replies: KeptChannel<Channel> | undefined;
  #repliesFull = false;
  #repliesBlocked = false;
  #consumerTag = '';
  #closing = new AbortController();
  #drained: (() => void) | undefined;
  #hooked = false;
  #answeredWindow = { from: 0, parked: 0 };
  readonly #reasons = new Map<'consumer' | 'replies', string>();

  constructor(options: RabbitMqServerOptions) {
    super({ urls: [options.url], queue: options.queue, queueOptions: { durable: true }, noAck: false });
    if (!(Number.isInteger(options.prefetchCount) && options.prefetchCount >= 1))
      throw new RangeError(`prefetchCount must be a whole number from 1, not ${options.prefetchCount}`);
    this.#settings = options;
    this.#allowed = options.patterns === undefined ? undefined : new Set(options.patterns);
  }

  /** Whether requests are taken and answered: the queue is consumed and the channel of answers is open. */
  get ready(): boolean {
    return this.notReadyReason === undefined;
  }

  /** Why the server is not ready, in words for a health check. */
  get notReadyReason(): string | undefined {
    if (this.#closing.signal.aborted) return 'closing';
    if (this.#consumer?.current === undefined) return this.#reasons.get('consumer') ?? 'not connected yet';
    if (this.#replies?.current === undefined) return this.#reasons.get('replies') ?? 'not connected yet';
    return this.#repliesBlocked ? 'RabbitMQ blocks publishers (an alarm of memory or disk)' : undefined;
  }

  /** Starts consuming and keeps at it until `close`. Calls back at once, though the broker is away: `ready` tells. */
  override listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      this.#open();
      callback();
    } catch (error) {
      callback(error);
    }
    return Promise.resolve();
  }

  /** Stops taking, lets what runs finish (ten seconds at most), answers, acks, disconnects. */
  override async close(): Promise<void> {
    if (this.#connections.length === 0 || this.#closing.signal.aborted) return;
    this.#closing.abort();
    const channel = this.#consumer?.current;
    if (channel !== undefined)
      await within(
        CANCEL_TIMEOUT_MS,
        Promise.resolve().then(() => channel.cancel(this.#consumerTag)),
      );
    if (this.#deliveries.size > 0) {
      const drained = new Promise<void>((resolve) => (this.#drained = resolve));
      if (!(await within(DRAIN_MS_MAX, drained)))
        this.logger.warn(
          `${this.#deliveries.size} messages did not finish in ${DRAIN_MS_MAX} ms and go back to the queue`,
        );
    }
    this.#flush();
    // Answers first: a message acked without its answer could not be told from one that was never run.
    await this.#replies?.close();
    await this.#consumer?.close();
    await Promise.all(this.#connections.map(closeConnection));
    this.#connections = [];
    this.server = null;
  }

  /** Nest's instrumentation; without it no request pays for it. */
  override setOnProcessingStartHook(hook: Parameters<ServerRMQ['setOnProcessingStartHook']>[0]): void {
    super.setOnProcessingStartHook(hook);
    this.#hooked = true;
  }

  /** Nest's instrumentation; without it no request pays for it. */
  override setOnProcessingEndHook(hook: Parameters<ServerRMQ['setOnProcessingEndHook']>[0]): void {
    super.setOnProcessingEndHook(hook);
    this.#hooked = true;
  }

  #open(): void {
    const { url, name } = this.#settings;
    this.#closing = new AbortController();
    // Apart, because a memory alarm stops a connection that publishes, and the acks on it.
    const consuming = openConnection(url, name);
    const publishing = openConnection(url, `${name} (answers)`);
    this.#connections = [consuming, publishing];
    this.server = consuming;
    for (const { event, callback } of this.pendingEventListeners) consuming.on(event, callback as () => void);
    this.pendingEventListeners = [];
    this.#watch(consuming, 'consumer');
    this.#watch(publishing, 'replies');
    this.#consumer = new KeptChannel(consuming, {
      open: (connection) => connection.createChannel(),
      setUp: (channel) => this.#consume(channel),
      opened: () => this.#reasons.delete('consumer'),
      lost: (reason) => this.#reasons.set('consumer', reason.message),
      failed: (error) => this.#failed('consumer', `${this.queue} cannot be consumed: ${error.message}`),
    });
    this.#replies = new KeptChannel(publishing, {
      open: (connection) => connection.createChannel(),
      setUp: (channel) => {
        channel.on('drain', () => {
          this.#repliesFull = false;
          this.#schedule();
        });
        return Promise.resolve();
      },
      opened: () => {
        this.#repliesFull = false;
        this.#reasons.delete('replies');
        this.#schedule();
      },
      lost: (reason) => this.#reasons.set('replies', reason.message),
      failed: (error) => this.#failed('replies', `No channel for answers: ${error.message}`),
    });
  }

  #watch(manager: AmqpConnectionManager, role: 'consumer' | 'replies'): void {
    manager.on('connect', () => {
      if (role === 'consumer') this._status$.next('connected' as RmqStatus);
    });
    manager.on('connectFailed', ({ err }) => this.#failed(role, `RabbitMQ cannot be reached: ${err.message}`));
    manager.on('disconnect', ({ err }) => {
      if (role === 'consumer') this._status$.next('disconnected' as RmqStatus);
      else this.#repliesBlocked = false;
      if (!this.#closing.signal.aborted)
        this.#failed(role, `disconnected from RabbitMQ: ${(err as Error | undefined)?.message ?? 'closed'}`);
    });
    manager.on('blocked', ({ reason }) => {
      if (role === 'replies') this.#repliesBlocked = true;
      this._status$.next('blocked' as RmqStatus);
      this.logger.warn(`RabbitMQ blocks publishers: ${reason}`);
    });
    manager.on('unblocked', () => {
      if (role === 'replies') this.#repliesBlocked = false;
      this._status$.next('unblocked' as RmqStatus);
      this.logger.log('RabbitMQ takes messages again');
    });
  }

  #failed(role: 'consumer' | 'replies', reason: string): void {
    // Tried several times a second: said once.
    if (this.#reasons.get(role) !== reason) this.logger.error(reason);
    this.#reasons.set(role, reason);
  }

  async #consume(channel: Channel): Promise<void> {
    await channel.assertQueue(this.queue, { durable: true });
    await channel.prefetch(this.#settings.prefetchCount);
    const { consumerTag } = await channel.consume(this.queue, (message) => {
      // The broker cancels when the queue is deleted: set up again, which declares it.
      if (message === null) this.#consumer?.renew(new Error(`${this.queue} was deleted or moved`));
      else this.#deliver(message, channel);
    });
    this.#consumerTag = consumerTag;
  }

  #deliver(message: ConsumeMessage, channel: Channel): void {
    const replyTo = message.properties.replyTo as string | undefined;
    const delivery: Delivery = {
      message,
      channel,
      replyTo,
      sentAt: performance.now() - this.#underWayMs(message),
      unsettled: 1,
      requeue: false,
    };
    this.#deliveries.add(delivery);
    const reading = readRequest(message);
    if ('unreadable' in reading) {
      if (replyTo !== undefined) {
        delivery.unsettled += 1;
        this.#refuse(delivery, undefined, 'invalid_message', `The message cannot be read: ${reading.unreadable}`);
      }
      void this.#park(delivery, reading.unreadable, message.content);
      return;
    }
    const { items } = reading;
    delivery.unsettled = items.length;
    const coalesced = message.properties.contentType === BATCH_CONTENT_TYPE;
    for (const item of items) {
      if (replyTo === undefined) void this.#runEvent(item, delivery, coalesced);
      else void this.#runRequest(item, delivery, coalesced ? item.id : undefined);
    }
  }

  /** Never rejects. `id` is undefined for a message of one request, which is answered by its correlation id. */
  async #runRequest(item: RequestItem | BadItem, delivery: Delivery, id: string | undefined): Promise<void> {
    if ('reason' in item) {
      // No well-behaved client sends one, so that somebody should see it; but who floods the queue does not fill the table.
      const parks = item.id === undefined || this.#mayParkAnswered();
      if (item.id !== undefined) {
        if (parks) delivery.unsettled += 1;
        this.#refuse(delivery, id, 'invalid_message', item.reason);
      }
      if (parks) await this.#park(delivery, item.reason, contentOf(item, delivery));
      return;
    }
    const handler = this.#handlerOf(item.pattern);
    if (handler === undefined) {
      this.#refuse(delivery, id, 'unknown_pattern', `${this.queue} does not answer ${item.pattern.slice(0, 100)}`);
      return;
    }
    const { deadlineMs = Infinity } = item;
    const deadlineAt = delivery.sentAt + deadlineMs;
    if (deadlineAt <= performance.now()) {
      this.#answer(delivery, id, Infinity, errorJson(id, told(new ExpiredError(), delivery)));
      return;
    }
    let answering = delivery;
    const release = () => {
      if (answering !== delivery) return;
      answering = { ...delivery, unsettled: 1, released: true };
      this.#deliveries.add(answering);
      this.#settle(delivery);
    };
    try {
      const context = new RequestContext(delivery.message, delivery.channel, item, deadlineAt, release);
      const response = await this.#call(handler, item.data, context);
      this.#answer(answering, id, deadlineAt, answerJson(id, response));
    } catch (error) {
      if (isUnexpected(error)) this.logger.error(error);
      this.#answer(answering, id, deadlineAt, errorJson(id, told(error, delivery)));
    }
  }

  /** How long a message has been on its way for sure. */
  #underWayMs({ properties }: ConsumeMessage): number {
    const { clock } = this.#settings;
    const sentAt: unknown = properties.headers?.[SENT_AT];
    if (clock?.isMeasured !== true || !Number.isFinite(sentAt)) return 0;
    return Math.max(0, clock.earliestMs() - (sentAt as number));
  }

  /** Never rejects. */
  async #runEvent(item: RequestItem | BadItem, delivery: Delivery, coalesced: boolean): Promise<void> {
    const content = () => (coalesced ? contentOf(item, delivery) : delivery.message.content);
    if ('reason' in item) return this.#park(delivery, item.reason, content());
    const handler = this.#handlerOf(item.pattern);
    if (handler === undefined)
      return this.#park(delivery, `no handler for the event ${item.pattern.slice(0, 100)}`, content());
    try {
      const { message, channel } = delivery;
      await this.#call(handler, item.data, new RequestContext(message, channel, item, Infinity));
      this.#settle(delivery);
    } catch (error) {
      // Nest has logged what its filter turned into an error of the wire.
      if (isUnexpected(error)) this.logger.error(error);
      await this.#park(delivery, `the handler failed: ${toWireError(error).message}`, content());
    }
  }

  async #call(handler: MessageHandler, data: unknown, context: RequestContext): Promise<unknown> {
    if (this.#hooked) return this.#callHooked(handler, data, context);
    const result: unknown = await handler(data, context);
    return isObservable(result) ? lastValueFrom(result, { defaultValue: undefined }) : result;
  }

  async #callHooked(handler: MessageHandler, data: unknown, context: RequestContext): Promise<unknown> {
    let response: unknown;
    await this.runWithProcessingHooks(context, async (end) => {
      const result: unknown = await handler(data, context);
      response = isObservable(result) ? await lastValueFrom(result, { defaultValue: undefined }) : result;
      end();
    });
    return response;
  }

  #handlerOf(pattern: string): MessageHandler | undefined {
    // Looked up as it is first: Nest's own look-up parses every pattern as JSON, and throws inside for most.
    const handler = this.messageHandlers.get(pattern) ?? this.getHandlerByPattern(pattern) ?? undefined;
    return this.#allowed === undefined || this.#allowed.has(pattern) ? handler : undefined;
  }

  #refuse(delivery: Delivery, id: string | undefined, code: WireErrorCode, message: string): void {
    this.#answer(delivery, id, Infinity, errorJson(id, { status: 'error', code, message }));
  }

  #answer(delivery: Delivery, id: string | undefined, deadlineAt: number, json: string): void {
    const bytes = Buffer.byteLength(json);
    // While the channel of answers is away: who asked gives up at the deadline, and safely asks again.
    const expiresAt = Math.min(deadlineAt, performance.now() + ANSWER_WAIT_MS_MAX);
    if (this.#answersBytes + bytes > ANSWERS_BYTES_MAX) {
      this.logger.error('Too many answers wait for their channel; one is dropped');
      this.#settle(delivery);
      return;
    }
    this.#answersBytes += bytes;
    this.#answers.push({ delivery, coalesced: id !== undefined, json, bytes, expiresAt });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#answers.length === 0) return;
    const channel = this.#replies?.current;
    if (channel === undefined || this.#repliesFull) {
      this.#dropExpired();
      if (this.#answers.length > 0) this.#scheduleRetry();
      return;
    }
    const answers = this.#answers;
    this.#answers = [];
    this.#answersBytes = 0;
    const together = new Map<string, Answer[]>();
    for (const answer of answers) {
      const replyTo = answer.delivery.replyTo as string;
      if (!answer.coalesced) this.#handOver(channel, replyTo, [answer]);
      else {
        const list = together.get(replyTo);
        if (list === undefined) together.set(replyTo, [answer]);
        else list.push(answer);
      }
    }
    const bytesMax = this.#settings.replyBytesMax ?? BATCH_BYTES_MAX;
    for (const [replyTo, list] of together)
      for (const batch of batches(list, BATCH_ITEMS_MAX, bytesMax)) this.#handOver(channel, replyTo, batch);
  }

  #handOver(channel: Channel, replyTo: string, batch: Answer[]): void {
    const [first] = batch as [Answer];
    const { clock } = this.#settings;
    const headers = clock?.isMeasured === true ? { [ANSWERED_AT]: Math.round(clock.nowMs()) } : undefined;
    try {
      const handedOver = first.coalesced
        ? channel.publish('', replyTo, batchBody(batch.map(({ json }) => json)), {
            contentType: BATCH_CONTENT_TYPE,
            headers,
          })
        : channel.publish('', replyTo, Buffer.from(first.json), {
            correlationId: first.delivery.message.properties.correlationId as string | undefined,
            headers,
          });
      if (!handedOver) this.#repliesFull = true;
      for (const { delivery } of batch) this.#settle(delivery);
    } catch (error) {
      if (this.#replies?.current === channel && (error as Error).name !== 'IllegalOperationError') {
        // Not the channel's fault: an address that cannot be written would fail again.
        this.logger.error(error);
        for (const { delivery } of batch) this.#settle(delivery);
        return;
      }
      for (const answer of batch) this.#answersBytes += answer.bytes;
      this.#answers.push(...batch);
      this.#scheduleRetry();
    }
  }

  #scheduleRetry(): void {
    // One timer, however many answers wait.
    if (this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#schedule();
    }, ANSWER_RETRY_MS).unref();
  }

  #dropExpired(): void {
    const now = performance.now();
    const kept: Answer[] = [];
    for (const answer of this.#answers) {
      if (answer.expiresAt > now) kept.push(answer);
      else {
        this.#answersBytes -= answer.bytes;
        this.#settle(answer.delivery);
      }
    }
    this.#answers = kept;
  }

  /** Never rejects; settles the delivery in every case. */
  async #park(delivery: Delivery, reason: string, content: Buffer): Promise<void> {
    const { park } = this.#settings;
    const { properties } = delivery.message;
    if (park === undefined) {
      this.logger.warn(`Rejected a message of ${this.queue}: ${reason}`);
      delivery.reject = true;
    } else
      try {
        await park({ queue: this.queue, reason, content, properties });
        this.logger.warn(`Parked a message of ${this.queue}: ${reason}`);
      } catch (error) {
        this.logger.error(error);
        // It comes back at once: a store that is away must not turn into a loop at full speed.
        await pause(PARK_RETRY_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
        delivery.requeue = true;
      }
    this.#settle(delivery);
  }

  #mayParkAnswered(): boolean {
    const now = performance.now();
    if (now - this.#answeredWindow.from > PARKED_ANSWERED_WINDOW_MS) this.#answeredWindow = { from: now, parked: 0 };
    this.#answeredWindow.parked += 1;
    return this.#answeredWindow.parked <= PARKED_ANSWERED_MAX;
  }

  #settle(delivery: Delivery): void {
    delivery.unsettled -= 1;
    if (delivery.unsettled > 0) return;
    this.#deliveries.delete(delivery);
    const { channel, message } = delivery;
    try {
      if (delivery.requeue) channel.nack(message, false, true);
      else if (delivery.reject && delivery.replyTo === undefined) channel.nack(message, false, false);
      else if (delivery.released !== true) channel.ack(message);
    } catch {
      // The channel has gone, and the broker delivers the message again.
    }
    if (this.#deliveries.size === 0) this.#drained?.();
  }
}

const DRAIN_MS_MAX = 10_000;
const CANCEL_TIMEOUT_MS = 2000;
const PARK_RETRY_MS = 1000;
/** Of the bad items that were answered, so many are kept in each window; of the rest the caller knows. */
const PARKED_ANSWERED_MAX = 100;
const PARKED_ANSWERED_WINDOW_MS = 60_000;
/** How long an answer waits for the channel of answers to come back when its caller named no deadline. */
const ANSWER_WAIT_MS_MAX = 30_000;
const ANSWER_RETRY_MS = 50;
/** Of all answers that wait for their channel. */
const ANSWERS_BYTES_MAX = 64 * 1024 * 1024;

/** One message until it is acked. */
interface Delivery {
  message: ConsumeMessage;
  channel: Channel;
  replyTo: string | undefined;
  /** When the caller sent it, as far as is known, else when it was delivered; by `performance.now()`, which nobody adjusts. */
  sentAt: number;
  /** Requests without an answer handed over, events that still run, and what is being parked. */
  unsettled: number;
  /** Parking failed. */
  requeue: boolean;
  /** Nobody parks. */
  reject?: boolean;
  /** One request whose message was acked before its answer. */
  released?: boolean;
}

interface Answer {
  delivery: Delivery;
  coalesced: boolean;
  json: string;
  bytes: number;
  /** On the clock of `performance.now()`. */
  expiresAt: number;
}

/** What a caller is told. A message that comes again may have been run before: what is not done now may be done. */
function told(error: unknown, { message }: Delivery): WireError {
  const wireError = toWireError(error);
  if (!message.fields.redelivered || (wireError.code !== 'unavailable' && wireError.code !== 'expired'))
    return wireError;
  return { ...wireError, code: 'outcome_unknown', message: `It was delivered before. ${wireError.message}` };
}

/** One item of a batch as JSON. */
function contentOf(item: RequestItem | BadItem, { message }: Delivery): Buffer {
  try {
    return Buffer.from(JSON.stringify('reason' in item ? item.content : item));
  } catch {
    // Nested too deep to be written again: what is kept is the message that held it.
    return message.content;
  }
}

/** Throws when the response cannot be written as JSON. */
function answerJson(id: string | undefined, response: unknown): string {
  const json = JSON.stringify(response) as string | undefined;
  const idPart = id === undefined ? '' : `"id":${JSON.stringify(id)},`;
  return json === undefined ? `{${idPart}"isDisposed":true}` : `{${idPart}"response":${json},"isDisposed":true}`;
}

function errorJson(id: string | undefined, err: WireError): string {
  return JSON.stringify(id === undefined ? { err, isDisposed: true } : { id, err, isDisposed: true });
}
