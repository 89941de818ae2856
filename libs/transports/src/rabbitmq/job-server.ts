import { setTimeout as pause } from 'node:timers/promises';
import { BaseRpcContext, Server, type CustomTransportStrategy } from '@nestjs/microservices';
import type { AmqpConnectionManager } from 'amqp-connection-manager';
import type { Channel, ConsumeMessage, Message } from 'amqplib';
import { isObservable, lastValueFrom } from 'rxjs';
import { closeConnection, KeptChannel, openConnection, within } from './connection.ts';
import { NotTakenError, OutcomeUnknownError, toWireError } from './errors.ts';
import { JobDeferredError, JobHopelessError, JobNotStartedError } from './job-errors.ts';
import { attemptsAfter, headersWith, readAttempts, readJob, waitAfter, type Attempts } from './job-message.ts';
import { JobPublisher } from './job-publisher.ts';
import { declareJobs, type JobTopology } from './job-topology.ts';
import type { UnreadableMessage } from './rabbitmq-server.ts';
import { readTraceparent } from './wire.ts';

/** The transport of jobs: `@EventPattern<string>(kind, JOBS)` where an app has handlers for others as well. */
export const JOBS = Symbol('jobs');

export interface JobServerOptions {
  /** `amqp://user:password@host:port` */
  url: string;
  /** Shown in RabbitMQ's list of connections. */
  name: string;
  topology: JobTopology;
  /** How many jobs of each queue run here at once. What is delivered runs: nothing waits here behind another job. */
  prefetchCount: number;
  /** After so many failed attempts a job is parked. */
  attemptsMax: number;
  confirmTimeoutMs: number;
  /** Keeps a job that is given up, before it is acked. When it throws, the job goes back to its queue. */
  park: (message: ParkedJob) => Promise<void>;
}

export interface ParkedJob extends UnreadableMessage, Attempts {}

/** What a handler may know of its job: `@Ctx() context: JobContext`. */
export class JobContext extends BaseRpcContext<[Message]> implements Attempts {
  readonly attempt: number;
  readonly firstFailedAt: string | undefined;
  readonly lastFailure: string | undefined;
  /** Aborted when the server stops: a handler that waits for somebody gives up then, with a JobNotStartedError. */
  readonly signal: AbortSignal;
  readonly traceparent: string | undefined;

  constructor(message: Message, attempts: Attempts, signal: AbortSignal) {
    super([message]);
    this.attempt = attempts.attempt;
    this.firstFailedAt = attempts.firstFailedAt;
    this.lastFailure = attempts.lastFailure;
    this.signal = signal;
    this.traceparent = readTraceparent(message.properties.headers?.['traceparent']);
  }

  get message(): Message {
    return this.args[0];
  }
}

/**
 * Work queues for Nest: handlers are `@EventPattern(kind)`. A job is acked when its handler has returned. One that failed is
 * published to a queue where it waits, which is confirmed, and acked then; after the last attempt it is parked, and acked
 * then. Jobs come at least once, so handlers must be repeatable.
 *
 * Each queue has slots of its own in each worker, so neither a backlog nor a slow job of one queue holds up another.
 */
export class JobServer extends Server implements CustomTransportStrategy {
  override readonly transportId = JOBS;
  /** Failures come here instead of being logged and forgotten. */
  override readonly propagatesEventHandlerErrors = true;
  readonly #options: JobServerOptions;
  #manager: AmqpConnectionManager | undefined;
  #channel: KeptChannel<Channel> | undefined;
  #publisher: JobPublisher | undefined;
  readonly #running = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  /** Why no jobs are taken, while they are not. */
  #paused: string | undefined;
  /** Consumers of the current channel. */
  #tags: string[] = [];
  /** Pausing and resuming go one after another. */
  #switching: Promise<void> = Promise.resolve();
  #reason: string | undefined = 'not connected yet';

  constructor(options: JobServerOptions) {
    super();
    if (!(Number.isInteger(options.prefetchCount) && options.prefetchCount >= 1))
      throw new RangeError(`prefetchCount must be a whole number from 1, not ${options.prefetchCount}`);
    this.#options = options;
  }

  /** Why no jobs can be taken or given back, in words for a health check; a pause is no reason. */
  get notReadyReason(): string | undefined {
    if (this.#closing.signal.aborted) return 'closing';
    if (this.#channel?.current === undefined) return this.#reason ?? 'not connected';
    return this.#publisher?.notReadyReason;
  }

  /** Why jobs are left on their queues, if they are. */
  get pausedReason(): string | undefined {
    return this.#paused;
  }

  /** Starts consuming and keeps at it until `close`. Calls back at once, though the broker is away. */
  override listen(callback: (error?: unknown) => void): void {
    const { url, name, topology, confirmTimeoutMs } = this.#options;
    // Apart, because a memory alarm stops a connection that publishes, and the acks on it.
    this.#publisher = new JobPublisher({
      url,
      name: `${name} (retries)`,
      topology,
      confirmTimeoutMs,
      onFailure: (reason) => this.logger.warn(reason),
    });
    const manager = openConnection(url, name);
    this.#manager = manager;
    manager.on('connectFailed', ({ err }) => this.#fail(`RabbitMQ cannot be reached: ${err.message}`));
    this.#channel = new KeptChannel(manager, {
      open: (connection) => connection.createChannel(),
      setUp: async (channel) => {
        await declareJobs(channel, topology);
        this.#tags = [];
        if (this.#paused === undefined) await this.#consume(channel);
      },
      opened: () => {
        this.#reason = undefined;
        // A pause that came while the channel was set up.
        this.#switch();
      },
      lost: (reason) => this.#fail(reason.message),
      failed: (error) => this.#fail(`Jobs cannot be consumed: ${error.message}`),
    });
    callback();
  }

  /** Leaves jobs on their queues from now on; those that run go on. */
  pause(reason: string): void {
    this.#paused = reason;
    this.#switch();
  }

  /** Takes jobs again. */
  resume(): void {
    this.#paused = undefined;
    this.#switch();
  }

  /**
   * Runs one job of those that wait although the server is paused, to see whether jobs succeed again: from the first queue of the
   * topology that holds one.
   * Resolves when it is settled: `done` and acked, or `failed`, as if all jobs wait for their next attempt; `none` when no job
   * waits at all.
   *
   * @throws Error without a channel.
   */
  async runOne(): Promise<'done' | 'failed' | 'none'> {
    const { queues } = this.#options.topology;
    for (const { name } of queues) {
      const channel = this.#channel?.current;
      if (channel === undefined || this.#closing.signal.aborted)
        throw new Error(this.notReadyReason ?? 'not connected');
      const message = await channel.get(name, { noAck: false });
      if (message === false) continue;
      const work = this.#run(channel, message, name);
      this.#track(work);
      return (await work) ? 'done' : 'failed';
    }
    return ((await this.#publisher?.waiting()) ?? 0) > 0 ? 'failed' : 'none';
  }

  /** Stops taking, lets what runs finish (ten seconds at most), acks, disconnects. */
  override async close(): Promise<void> {
    if (this.#manager === undefined || this.#closing.signal.aborted) return;
    this.#closing.abort();
    await within(CANCEL_TIMEOUT_MS, this.#cancel());
    await within(DRAIN_MS_MAX, Promise.all(this.#running));
    await this.#channel?.close();
    await Promise.all([this.#publisher?.close(), closeConnection(this.#manager)]);
  }

  override on(): never {
    throw new Error('A job server has no events');
  }

  override unwrap<T>(): T {
    return this.#manager as T;
  }

  #fail(reason: string): void {
    if (this.#reason !== reason && !this.#closing.signal.aborted) this.logger.warn(reason);
    this.#reason = reason;
  }

  #switch(): void {
    this.#switching = this.#switching.then(async () => {
      const channel = this.#channel?.current;
      if (channel === undefined || this.#closing.signal.aborted) return;
      try {
        if (this.#paused !== undefined) await this.#cancel();
        else if (this.#tags.length === 0) await this.#consume(channel);
      } catch (error) {
        this.#channel?.renew(error as Error);
      }
    });
  }

  async #consume(channel: Channel): Promise<void> {
    const { topology, prefetchCount } = this.#options;
    const take = async (queue: string, run: (message: ConsumeMessage) => Promise<unknown>) => {
      const { consumerTag } = await channel.consume(queue, (message) => {
        // The broker cancels when a queue is deleted: set up again, which declares it.
        if (message === null) this.#channel?.renew(new Error(`${queue} was deleted or moved`));
        else this.#track(run(message));
      });
      this.#tags.push(consumerTag);
    };
    // Of each consumer, not of the channel: the slots of one queue are not those of another.
    await channel.prefetch(prefetchCount);
    for (const { name } of topology.queues) await take(name, (message) => this.#run(channel, message, name));
    await take(topology.dead, (message) => this.#giveUp(channel, message, topology.dead, 'returned too often'));
  }

  async #cancel(): Promise<void> {
    const channel = this.#channel?.current;
    const tags = this.#tags;
    this.#tags = [];
    if (channel !== undefined) await Promise.all(tags.map((tag) => Promise.resolve(channel.cancel(tag))));
  }

  #track(work: Promise<unknown>): void {
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  /** Whether the job is done. Never rejects. */
  async #run(channel: Channel, message: Message, queue: string): Promise<boolean> {
    const failure = await this.#handle(channel, message, queue);
    if (failure === undefined) settle(() => channel.ack(message));
    else await failure();
    return failure === undefined;
  }

  /** Runs the handler, and resolves with what is to be done when it has failed. */
  async #handle(channel: Channel, message: Message, queue: string): Promise<(() => void | Promise<void>) | undefined> {
    const attempts = readAttempts(message.properties.headers);
    const job = readJob(message.content);
    if (job === undefined) return () => this.#giveUp(channel, message, queue, 'not a job');
    const handler = this.messageHandlers.get(job.kind);
    if (handler === undefined)
      return () => this.#giveUp(channel, message, queue, `no handler for jobs of ${job.kind.slice(0, 100)}`);
    try {
      const result: unknown = await handler(job.data, new JobContext(message, attempts, this.#closing.signal));
      if (isObservable(result)) await lastValueFrom(result, { defaultValue: undefined });
    } catch (error) {
      const reason = reasonOf(error);
      if (error instanceof JobNotStartedError) return () => this.#return(channel, message);
      if (error instanceof JobDeferredError)
        return () => this.#again(channel, message, queue, this.#waitOf(error.waitMs), attempts, reason);
      if (isHopeless(error) || attempts.attempt >= this.#options.attemptsMax)
        return () => this.#giveUp(channel, message, queue, reason);
      const retries = this.#options.topology.retries.length;
      const past = attemptsAfter(attempts, reason, new Date());
      const index = waitAfter(attempts.attempt, retries, Math.random());
      return () => this.#again(channel, message, queue, index, past, reason);
    }
    return undefined;
  }

  /** The shortest wait that is long enough, or else the longest. */
  #waitOf(waitMs: number): number {
    const { retries } = this.#options.topology;
    const index = retries.findIndex((retry) => retry.waitMs >= waitMs);
    return index === -1 ? retries.length - 1 : index;
  }

  /** Publish with its past to where it waits, confirm, then ack. */
  async #again(
    channel: Channel,
    message: Message,
    queue: string,
    index: number,
    past: Attempts,
    reason: string,
  ): Promise<void> {
    const { retries, queues } = this.#options.topology;
    // What has waited is routed by its headers. Without those of a queue it would go nowhere, and the queue where it waits would
    // keep it, and in the end all that wait there: RabbitMQ lets a message go once another queue has it, a few at a time.
    const home = queues.find(({ name }) => name === queue)?.headers;
    const wait = retries[index];
    const { messageId, contentType, timestamp, headers = {} } = message.properties;
    try {
      if (wait === undefined) throw new Error('There is no queue to wait on');
      await this.#publisher?.send(wait.name, message.content, {
        messageId: messageId as string,
        contentType: contentType as string,
        timestamp: timestamp as number,
        headers: headersWith({ ...headers, ...home }, past),
      });
      this.logger.warn(`${messageId} waits ${wait.waitMs} ms for attempt ${past.attempt}: ${reason}`);
      settle(() => channel.ack(message));
    } catch (error) {
      if (error instanceof NotTakenError || error instanceof OutcomeUnknownError) {
        this.logger.error(error);
        return this.#returnLater(channel, message);
      }
      // The message is to blame: its headers leave no room for those of a retry.
      return this.#giveUp(channel, message, queue, `${reason}; it cannot wait for a retry: ${reasonOf(error)}`);
    }
  }

  /** Parks, then acks. */
  async #giveUp(channel: Channel, message: Message, queue: string, reason: string): Promise<void> {
    const { content, properties } = message;
    const attempts = readAttempts(properties.headers);
    try {
      await this.#options.park({ queue, reason, content, properties, ...attempts });
      this.logger.error(`Parked ${properties.messageId} after attempt ${attempts.attempt}: ${reason}`);
      settle(() => channel.ack(message));
    } catch (error) {
      this.logger.error(error);
      await this.#returnLater(channel, message);
    }
  }

  /** It comes back at once: what is away must not turn into a loop at full speed. */
  async #returnLater(channel: Channel, message: Message): Promise<void> {
    await pause(RETURN_PAUSE_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    this.#return(channel, message);
  }

  #return(channel: Channel, message: Message): void {
    settle(() => channel.nack(message, false, true));
  }
}

const DRAIN_MS_MAX = 10_000;
const CANCEL_TIMEOUT_MS = 2_000;
const RETURN_PAUSE_MS = 1_000;

/** On a channel that has gone nothing can be settled: the broker delivers the message again. */
function settle(work: () => void): void {
  try {
    work();
  } catch {
    // As said above.
  }
}

/** Data that break their schema do so again. */
function isHopeless(error: unknown): boolean {
  return error instanceof JobHopelessError || toWireError(error).code === 'invalid_message';
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : toWireError(error).message;
}
