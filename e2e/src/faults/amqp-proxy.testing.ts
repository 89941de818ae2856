import net from 'node:net';

/** One connection through the proxy. */
interface Link {
  client: net.Socket;
  broker: net.Socket;
  /** Frames to be put between two messages of the broker. */
  inserted: Buffer[];
  insert: () => void;
}

interface Consumer {
  link: Link;
  channel: number;
  queue: string;
  tag: string;
}

/**
 * Stands between a service and RabbitMQ. It can cut connections, keep from the broker what a service says, and speak in the
 * broker's name.
 */
export class AmqpProxy {
  readonly #links = new Set<Link>();
  readonly #server: net.Server;
  readonly #target: URL;
  #muted = false;
  /** Where each connection's consumers are, by the queue that they were asked for: learnt from the frames. */
  readonly #consumers = new Set<Consumer>();

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = net.createServer((client) => this.#connect(client));
  }

  /** Listens on a free port. @param target the address of the broker. */
  static async open(target: string): Promise<AmqpProxy> {
    const proxy = new AmqpProxy(target);
    await new Promise<void>((listening) => proxy.#server.listen(0, '127.0.0.1', listening));
    return proxy;
  }

  /** The broker's address through this proxy. */
  get url(): string {
    const url = new URL(this.#target);
    url.host = `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
    return url.href;
  }

  /** From now on nothing that a service says reaches the broker, though what the broker says still reaches the service. */
  mute(): void {
    this.#muted = true;
  }

  /** Cuts all connections; those that come next are whole again. */
  cut(): void {
    this.#muted = false;
    for (const { client, broker } of this.#links) {
      client.destroy();
      broker.destroy();
    }
  }

  get connections(): number {
    return this.#links.size;
  }

  /** The consumers of a queue that the broker knows of. */
  consumersOf(queue: string): readonly Consumer[] {
    return [...this.#consumers].filter((consumer) => consumer.queue === queue && this.#links.has(consumer.link));
  }

  /** Tells every consumer of a queue that the broker has cancelled it. */
  cancelConsumers(queue: string): void {
    for (const consumer of this.consumersOf(queue)) {
      const { link, channel, tag } = consumer;
      this.#consumers.delete(consumer);
      // basic.cancel with no-wait.
      link.inserted.push(methodFrame(channel, 60, 30, Buffer.concat([shortString(tag), Buffer.from([1])])));
      link.insert();
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((closed) => this.#server.close(closed));
    this.cut();
    await closed;
  }

  #connect(client: net.Socket): void {
    const broker = net.connect({ host: this.#target.hostname, port: Number(this.#target.port), noDelay: true });
    client.setNoDelay(true);
    const insert = () => {
      if (fromBroker.isBetweenMessages) for (const frame of link.inserted.splice(0)) client.write(frame);
    };
    const link: Link = { client, broker, inserted: [], insert };
    this.#links.add(link);
    /** The queues that a channel has asked to consume, until the broker has named the consumers. */
    const asked = new Map<number, string[]>();
    // 60.20 is basic.consume: a reserved short, the queue. It comes after the eight bytes of the protocol's header.
    const fromClient = new Frames(8, (channel, classId, methodId, fields) => {
      if (classId !== 60 || methodId !== 20) return;
      asked.set(channel, [...(asked.get(channel) ?? []), readShortString(fields, 2)]);
    });
    // 60.21 is its answer, with the consumer's tag.
    const fromBroker = new Frames(0, (channel, classId, methodId, fields) => {
      if (classId !== 60 || methodId !== 21) return;
      const queue = asked.get(channel)?.shift();
      if (queue !== undefined) this.#consumers.add({ link, channel, queue, tag: readShortString(fields, 0) });
    });
    client.on('data', (data) => {
      if (this.#muted) return;
      fromClient.add(data);
      broker.write(data);
    });
    broker.on('data', (data) => {
      client.write(fromBroker.add(data));
      insert();
    });
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#links.delete(link);
      });
    }
  }
}

/** Reads the frames out of one direction of an AMQP 0-9-1 connection. */
class Frames {
  #rest = Buffer.alloc(0);
  #skip: number;
  /** Of the message that is under way: undefined before its header has come. */
  #bodyLeft: number | undefined = 0;
  readonly #onMethod: (channel: number, classId: number, methodId: number, fields: Buffer) => void;

  constructor(
    skipBytes: number,
    onMethod: (channel: number, classId: number, methodId: number, fields: Buffer) => void,
  ) {
    this.#skip = skipBytes;
    this.#onMethod = onMethod;
  }

  /** Whether a frame may stand here: not in the middle of a message. */
  get isBetweenMessages(): boolean {
    return this.#bodyLeft === 0;
  }

  /** Returns what is whole; the rest waits for the next call. */
  add(data: Buffer): Buffer {
    const bytes = Buffer.concat([this.#rest, data]);
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    let at = skipped;
    while (bytes.length - at >= 7) {
      const end = at + 8 + bytes.readUInt32BE(at + 3);
      if (bytes.length < end) break;
      this.#read(bytes.readUInt8(at), bytes.readUInt16BE(at + 1), bytes.subarray(at + 7, end - 1));
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return bytes.subarray(0, at);
  }

  #read(type: number, channel: number, payload: Buffer): void {
    if (type === METHOD) {
      const [classId, methodId] = [payload.readUInt16BE(0), payload.readUInt16BE(2)];
      // basic.publish, basic.return and basic.deliver are followed by a header and a body.
      if (classId === 60 && [40, 50, 60].includes(methodId)) this.#bodyLeft = undefined;
      this.#onMethod(channel, classId, methodId, payload.subarray(4));
    } else if (type === HEADER) this.#bodyLeft = Number(payload.readBigUInt64BE(4));
    else if (type === BODY) this.#bodyLeft = (this.#bodyLeft ?? 0) - payload.length;
  }
}

const METHOD = 1;
const HEADER = 2;
const BODY = 3;

function methodFrame(channel: number, classId: number, methodId: number, fields: Buffer): Buffer {
  const head = Buffer.alloc(11);
  head.writeUInt8(1, 0);
  head.writeUInt16BE(channel, 1);
  head.writeUInt32BE(4 + fields.length, 3);
  head.writeUInt16BE(classId, 7);
  head.writeUInt16BE(methodId, 9);
  return Buffer.concat([head, fields, Buffer.from([0xce])]);
}

const shortString = (text: string) => Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
const readShortString = (fields: Buffer, at: number) => fields.toString('utf8', at + 1, at + 1 + fields.readUInt8(at));
