import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type AmqpConnectionManager } from 'amqp-connection-manager';
import type { Channel, ChannelModel } from 'amqplib';

/** Long enough for a busy broker, short enough that a caller's deadline is not spent on a dead address. */
const CONNECT_TIMEOUT_MS = 3000;
const RECONNECT_SECONDS = 0.2;
/** RabbitMQ's guide calls 5 to 20 seconds optimal: below, a busy event loop looks like a dead peer. */
const HEARTBEAT_SECONDS = 5;
const CLOSE_TIMEOUT_MS = 2000;
const SETUP_PAUSE_MS_MAX = 2000;

/**
 * Starts connecting and keeps at it until `closeConnection`.
 *
 * @param name shown in RabbitMQ's list of connections.
 */
export function openConnection(url: string, name: string): AmqpConnectionManager {
  const manager = connect([url], {
    heartbeatIntervalInSeconds: HEARTBEAT_SECONDS,
    reconnectTimeInSeconds: RECONNECT_SECONDS,
    connectionOptions: {
      // Without it Nagle holds small messages back: 48 ms a call at low load.
      noDelay: true,
      timeout: CONNECT_TIMEOUT_MS,
      clientProperties: { connection_name: name },
    } as NonNullable<Parameters<typeof connect>[1]>['connectionOptions'],
  });
  manager.on('connect', () => manager.connection && readPastHeaders(manager.connection));
  return manager;
}

/** What amqplib has on its connections though its types do not say so. */
interface FrameReader {
  /** What was received and not yet read. */
  rest: Buffer;
  recvFrame: () => unknown;
}

/**
 * amqplib 2.3.1 ends the connection when it cannot decode the headers of a message: a few thousand tables in tables exhaust its
 * stack. The message then comes again, and stops its queue for good. Here it comes without them, and with their length.
 */
function readPastHeaders({ connection }: ChannelModel): void {
  const reader = connection as unknown as FrameReader;
  const { recvFrame } = reader;
  reader.recvFrame = function (this: FrameReader) {
    const { rest } = this;
    try {
      return recvFrame.call(this);
    } catch (error) {
      const readable = withoutHeaders(rest);
      // What is left begins behind the frame that could not be decoded.
      if (readable === undefined || this.rest === rest) throw error;
      this.rest = Buffer.concat([readable, this.rest]);
      return recvFrame.call(this);
    }
  };
}

/** The header frame that some bytes begin with, with a note in place of its headers; undefined if they begin otherwise. */
function withoutHeaders(rest: Buffer): Buffer | undefined {
  // Type, channel, size; class, weight, body size, flags; then the properties that the flags tell, headers being the third.
  if (rest.length < 21 || rest[0] !== 2) return undefined;
  const flags = rest.readUInt16BE(19);
  const end = 7 + rest.readUInt32BE(3);
  let at = 21;
  for (const flag of [0x8000, 0x4000]) if ((flags & flag) !== 0) at += 1 + (rest[at] ?? 0);
  if ((flags & 0x2000) === 0 || at + 4 > rest.length) return undefined;
  const bytes = rest.readUInt32BE(at);
  const name = Buffer.from('x-unread-header-bytes');
  const table = Buffer.alloc(4 + 1 + name.length + 5);
  table.writeUInt32BE(table.length - 4, 0);
  table.writeUInt8(name.length, 4);
  name.copy(table, 5);
  table.write('I', 5 + name.length);
  table.writeInt32BE(bytes, 6 + name.length);
  const frame = Buffer.concat([rest.subarray(0, at), table, rest.subarray(at + 4 + bytes, end + 1)]);
  frame.writeUInt32BE(frame.length - 8, 3);
  return frame;
}

/** Closes politely; a peer that does not answer is cut off after two seconds. Never rejects. */
export async function closeConnection(manager: AmqpConnectionManager): Promise<void> {
  const { connection } = manager;
  const closed = await within(CLOSE_TIMEOUT_MS, manager.close());
  // The promise of a close waits for the peer's answer, which a dead peer never sends.
  if (!closed && connection !== undefined)
    // With an error, because amqplib does not listen for a mere 'close' and would go on sending heartbeats.
    (connection.connection as unknown as { stream: Duplex }).stream.destroy(new Error('No answer to the close'));
}

export interface KeptChannelOptions<C extends Channel> {
  open: (connection: ChannelModel) => Promise<C>;
  /** Runs on each new channel before it becomes `current`. */
  setUp: (channel: C) => Promise<void>;
  /** `current` is there. */
  opened: () => void;
  /** What was `current` has gone: called once for each `opened`, in the moment it is known. */
  lost: (reason: Error) => void;
  /** A channel could not be opened or set up; it is tried again. */
  failed: (error: Error) => void;
}

/**
 * One channel, opened again whenever it or its connection has gone. What is published goes straight to amqplib's
 * channel, never through a buffer that outlives it: so it is always known what was handed over.
 */
export class KeptChannel<C extends Channel> {
  /** The channel in use, set up and open; undefined while there is none. */
  current: C | undefined;
  readonly #manager: AmqpConnectionManager;
  readonly #options: KeptChannelOptions<C>;
  readonly #closing = new AbortController();

  constructor(manager: AmqpConnectionManager, options: KeptChannelOptions<C>) {
    this.#manager = manager;
    this.#options = options;
    manager.on('connect', this.#start);
    if (manager.connection !== undefined) this.#start();
  }

  /** Gives the current channel up for a new one. */
  renew(reason: Error): void {
    const channel = this.current;
    if (channel === undefined) return;
    this.#lose(channel, reason);
    channel.close().catch(() => undefined);
  }

  /** Closes after what was written has reached the broker: unlike a connection's, a channel's close is sent in line. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#manager.removeListener('connect', this.#start);
    const channel = this.current;
    if (channel === undefined) return;
    await within(
      CLOSE_TIMEOUT_MS,
      // Wrapped, because amqplib throws at once when the channel is closed already.
      Promise.resolve().then(() => channel.close()),
    );
    this.#lose(channel, new Error('Closed'));
  }

  readonly #start = (): void => {
    const { connection } = this.#manager;
    if (connection !== undefined) void this.#keep(connection);
  };

  async #keep(connection: ChannelModel): Promise<void> {
    let failures = 0;
    while (!this.#closing.signal.aborted && this.#manager.connection === connection) {
      if (await this.#use(connection)) failures = 0;
      else failures += 1;
      await pause(Math.min(50 * 2 ** failures, SETUP_PAUSE_MS_MAX), undefined, { signal: this.#closing.signal }).catch(
        () => undefined,
      );
    }
  }

  /** Opens one channel and resolves when it has gone: true when it had been set up. */
  async #use(connection: ChannelModel): Promise<boolean> {
    let channel: C | undefined;
    let cause = new Error('The connection to RabbitMQ was lost');
    try {
      channel = await this.#options.open(connection);
      const opened = channel;
      let closed = false;
      const gone = new Promise<void>((resolve) => {
        opened.on('error', (error) => (cause = error));
        opened.on('close', () => {
          closed = true;
          this.#lose(opened, cause);
          resolve();
        });
      });
      await this.#options.setUp(channel);
      if (closed) throw cause;
      if (this.#closing.signal.aborted) {
        await within(CLOSE_TIMEOUT_MS, channel.close());
        return true;
      }
      this.current = channel;
      this.#options.opened();
      await gone;
      return true;
    } catch (error) {
      await within(
        CLOSE_TIMEOUT_MS,
        Promise.resolve().then(() => channel?.close()),
      );
      if (!this.#closing.signal.aborted) this.#options.failed(error as Error);
      return false;
    }
  }

  #lose(channel: C, reason: Error): void {
    if (this.current !== channel) return;
    this.current = undefined;
    this.#options.lost(reason);
  }
}

/** Whether the work settled in time; how it settled does not matter. */
export async function within(timeoutMs: number, work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const settled = work.then(
    () => true,
    () => true,
  );
  const late = pause(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const result = await Promise.race([settled, late]);
  timer.abort();
  return result;
}
