import type { AmqpConnectionManager } from 'amqp-connection-manager';
import type { Channel, ConfirmChannel } from 'amqplib';
import { closeConnection, KeptChannel, openConnection } from './connection.ts';
import { NotTakenError, OutcomeUnknownError } from './errors.ts';

export interface FanoutOptions {
  /** `amqp://user:password@host:port` */
  url: string;
  /** Declared by both sides, durable. */
  exchange: string;
  /** Shown in RabbitMQ's list of connections. */
  name: string;
  /** Told why there is no channel; the next is opened by itself. */
  onFailure: (reason: string) => void;
}

/** Publishes to everybody who listens at the moment, and be it nobody. */
export class FanoutPublisher {
  readonly #exchange: string;
  readonly #confirmTimeoutMs: number;
  readonly #manager: AmqpConnectionManager;
  readonly #channel: KeptChannel<ConfirmChannel>;

  /** Starts connecting and keeps at it until `close`. */
  constructor({ url, exchange, name, onFailure, confirmTimeoutMs }: FanoutOptions & { confirmTimeoutMs: number }) {
    this.#exchange = exchange;
    this.#confirmTimeoutMs = confirmTimeoutMs;
    this.#manager = openConnection(url, name);
    this.#channel = new KeptChannel(this.#manager, {
      open: (connection) => connection.createConfirmChannel(),
      setUp: async (channel) => void (await channel.assertExchange(exchange, 'fanout', { durable: true })),
      opened: () => undefined,
      lost: () => undefined,
      failed: (error) => onFailure(error.message),
    });
  }

  /**
   * Resolves when the broker has put the message into the queue of everybody who listens.
   *
   * @throws NotTakenError when there is no connection; OutcomeUnknownError when the broker did not confirm in time.
   */
  async publish(value: unknown): Promise<void> {
    const channel = this.#channel.current;
    if (channel === undefined) throw new NotTakenError('not connected');
    const confirmed = Promise.withResolvers<void>();
    const late = () => confirmed.reject(new OutcomeUnknownError(`Not confirmed within ${this.#confirmTimeoutMs} ms`));
    const timer = setTimeout(late, this.#confirmTimeoutMs);
    try {
      const options = { contentType: 'application/json', persistent: true };
      channel.publish(this.#exchange, '', Buffer.from(JSON.stringify(value)), options, (error: unknown) =>
        error
          ? confirmed.reject(new OutcomeUnknownError('The broker did not confirm', { cause: error }))
          : confirmed.resolve(),
      );
      await confirmed.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    await this.#channel.close();
    await closeConnection(this.#manager);
  }
}

export interface FanoutListenerOptions extends FanoutOptions {
  /** A message's content, as JSON parsed; what is no JSON is left out. */
  onMessage: (value: unknown) => void;
  /** From now on nothing is missed: what was said before must be asked for. Called again after every interruption. */
  onListening: () => void;
  /** From now on something may be missed, until `onListening`. */
  onLost: () => void;
}

/** Hears what is published to an exchange, on a queue that lives as long as its connection. */
export class FanoutListener {
  readonly #manager: AmqpConnectionManager;
  readonly #channel: KeptChannel<Channel>;

  /** Starts connecting and keeps at it until `close`. */
  constructor({ url, exchange, name, onFailure, onMessage, onListening, onLost }: FanoutListenerOptions) {
    this.#manager = openConnection(url, name);
    this.#channel = new KeptChannel(this.#manager, {
      open: (connection) => connection.createChannel(),
      setUp: async (channel) => {
        await channel.assertExchange(exchange, 'fanout', { durable: true });
        const { queue } = await channel.assertQueue('', { exclusive: true });
        await channel.bindQueue(queue, exchange, '');
        // Nothing is lost by not acknowledging: after any interruption the listener asks for what it may have missed.
        await channel.consume(queue, (message) => message && hear(message.content.toString(), onMessage), {
          noAck: true,
        });
      },
      opened: onListening,
      lost: onLost,
      failed: (error) => onFailure(error.message),
    });
  }

  async close(): Promise<void> {
    await this.#channel.close();
    await closeConnection(this.#manager);
  }
}

function hear(text: string, onMessage: (value: unknown) => void): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return;
  }
  onMessage(value);
}
