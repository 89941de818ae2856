import type { AmqpConnectionManager } from 'amqp-connection-manager';
import type { ConfirmChannel, Message, Options } from 'amqplib';
import { closeConnection, KeptChannel, openConnection } from './connection.ts';
import { NotTakenError, OutcomeUnknownError } from './errors.ts';
import { writeJob, type Job } from './job-message.ts';
import { declareJobs, type JobTopology } from './job-topology.ts';

export interface JobPublisherOptions {
  /** `amqp://user:password@host:port` */
  url: string;
  /** Shown in RabbitMQ's list of connections. */
  name: string;
  /** Declared before the first job of each channel, so that a broker that has lost its disk gets it back. */
  topology: JobTopology;
  /** How long the broker may take to confirm. */
  confirmTimeoutMs: number;
  /** Told why there is no channel, once each time it changes. */
  onFailure: (reason: string) => void;
}

/** Publishes jobs so that "published" means: in a queue, on a disk. Keeps nothing for later. */
export class JobPublisher {
  readonly #options: JobPublisherOptions;
  readonly #manager: AmqpConnectionManager;
  readonly #channel: KeptChannel<ConfirmChannel>;
  /** What the broker has returned and not yet confirmed, by publication. */
  readonly #returned = new Set<string>();
  #publications = 0;
  #blocked = false;
  #reason: string | undefined = 'not connected yet';
  #isClosing = false;

  /** Starts connecting and keeps at it until `close`. */
  constructor(options: JobPublisherOptions) {
    this.#options = options;
    const manager = openConnection(options.url, options.name);
    this.#manager = manager;
    manager.on('connectFailed', ({ err }) => this.#fail(`RabbitMQ cannot be reached: ${err.message}`));
    manager.on('blocked', () => (this.#blocked = true));
    manager.on('unblocked', () => (this.#blocked = false));
    manager.on('disconnect', () => (this.#blocked = false));
    this.#channel = new KeptChannel(manager, {
      open: (connection) => connection.createConfirmChannel(),
      setUp: async (channel) => {
        // An unroutable message is returned first, and confirmed then.
        channel.on('return', ({ properties }: Message) => this.#returned.add(properties.correlationId as string));
        await declareJobs(channel, options.topology);
      },
      opened: () => (this.#reason = undefined),
      lost: (reason) => {
        this.#returned.clear();
        this.#fail(reason.message);
      },
      failed: (error) => this.#fail(`Jobs cannot be published: ${error.message}`),
    });
  }

  /** Why nothing can be published now, in words for a health check. */
  get notReadyReason(): string | undefined {
    if (this.#channel.current === undefined) return this.#reason ?? 'not connected';
    return this.#blocked ? 'RabbitMQ blocks publishers (an alarm of memory or disk)' : undefined;
  }

  /**
   * Resolves when the broker has confirmed every job and returned none. When it rejects, any of them may have been
   * published: publish them all again.
   *
   * @throws NotTakenError when nothing was handed over; OutcomeUnknownError.
   */
  async publish(jobs: readonly Job[]): Promise<void> {
    const { exchange } = this.#options.topology;
    await this.#all(jobs.map((job) => ({ exchange, routingKey: job.kind, ...writeJob(job) })));
  }

  /** As `publish`, of one message to one queue. */
  async send(queue: string, content: Buffer, options: Options.Publish): Promise<void> {
    await this.#all([{ exchange: '', routingKey: queue, content, options }]);
  }

  /** How many jobs wait for a worker or for their next attempt; those that run are not counted. */
  async waiting(): Promise<number> {
    const channel = this.#channel.current;
    if (channel === undefined) throw new NotTakenError(this.notReadyReason ?? 'not connected');
    const { queues, retries } = this.#options.topology;
    const found = await Promise.all([...queues, ...retries].map(({ name }) => channel.checkQueue(name)));
    return found.reduce((sum, { messageCount }) => sum + messageCount, 0);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#channel.close();
    await closeConnection(this.#manager);
  }

  async #all(publications: readonly Publication[]): Promise<void> {
    const channel = this.#channel.current;
    if (channel === undefined || this.notReadyReason !== undefined)
      throw new NotTakenError(this.notReadyReason ?? 'not connected');
    const { confirmTimeoutMs } = this.#options;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new OutcomeUnknownError(`Not confirmed within ${confirmTimeoutMs} ms`)),
      confirmTimeoutMs,
    );
    try {
      await Promise.race([Promise.all(publications.map((one) => this.#one(channel, one))), late]);
    } catch (error) {
      // What was returned is declared anew on the next channel; and no confirmation of this one is waited for.
      this.#channel.renew(error as Error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #one(channel: ConfirmChannel, { exchange, routingKey, content, options }: Publication): Promise<void> {
    const publication = `publication-${++this.#publications}`;
    const sent = { ...options, correlationId: publication, persistent: true, mandatory: true };
    return new Promise<void>((resolve, reject) => {
      channel.publish(exchange, routingKey, content, sent, (error: unknown) => {
        if (error) reject(new OutcomeUnknownError('The broker did not confirm', { cause: error }));
        else if (this.#returned.delete(publication))
          reject(new OutcomeUnknownError(`No queue takes ${exchange} ${routingKey}`));
        else resolve();
      });
    });
  }

  #fail(reason: string): void {
    // A channel that goes because it is closed is no failure.
    if (this.#reason !== reason && !this.#isClosing) this.#options.onFailure(reason);
    this.#reason = reason;
  }
}

interface Publication {
  exchange: string;
  routingKey: string;
  content: Buffer;
  options: Options.Publish;
}
