import { randomUUID } from 'node:crypto';
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type Channel, type ChannelModel, type ConsumeMessage, type Options } from 'amqplib';

/** The broker of the tests. */
export const RABBITMQ_URL = process.env['RABBITMQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';

/** A queue name that no other run uses. */
export function queueName(): string {
  return `${process.env['NAMESPACE'] || 'transports'}.test.${randomUUID()}`;
}

/** Waits, bounded, until something is so. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await pause(10);
  }
}

/** Plain amqplib, as anybody would use it. */
export class PlainClient {
  readonly channel: Channel;
  readonly #model: ChannelModel;
  readonly replies: ConsumeMessage[] = [];

  private constructor(model: ChannelModel, channel: Channel) {
    this.#model = model;
    this.channel = channel;
  }

  static async open(): Promise<PlainClient> {
    const model = await connect(RABBITMQ_URL);
    const channel = await model.createChannel();
    // A look at a queue that is not there closes the channel with an error.
    channel.on('error', () => undefined);
    const client = new PlainClient(model, channel);
    const keep = (message: ConsumeMessage | null) => message && client.replies.push(message);
    await channel.consume('amq.rabbitmq.reply-to', keep, { noAck: true });
    return client;
  }

  /** Sends to a queue; answers arrive in `replies`. */
  send(queue: string, body: unknown, options: Options.Publish = {}): void {
    const content = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    this.channel.sendToQueue(queue, content, { replyTo: 'amq.rabbitmq.reply-to', ...options });
  }

  /** Puts a message on a queue whose headers are tables in tables, `depth` times, which amqplib does not write. */
  sendNested(queue: string, content: string, depth: number): void {
    let table = Buffer.alloc(4);
    for (let level = 0; level < depth; level += 1) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(table.length + 3);
      table = Buffer.concat([length, shortString('a'), Buffer.from('F'), table]);
    }
    const { connection, ch } = this.channel as unknown as { connection: { stream: net.Socket }; ch: number };
    const header = Buffer.alloc(14);
    header.writeUInt16BE(60, 0);
    header.writeBigUInt64BE(BigInt(content.length), 4);
    header.writeUInt16BE(0x2000, 12);
    const publish = Buffer.concat([Buffer.alloc(2), shortString(''), shortString(queue), Buffer.alloc(1)]);
    connection.stream.write(methodFrame(ch, 60, 40, publish));
    connection.stream.write(frame(2, ch, Buffer.concat([header, table])));
    connection.stream.write(frame(3, ch, Buffer.from(content)));
  }

  /** The bodies of what came back. */
  bodies(): unknown[] {
    return this.replies.map(({ content }) => JSON.parse(content.toString()) as unknown);
  }

  async close(): Promise<void> {
    await this.#model.close();
  }
}

/** Stands between a client and the broker, to cut connections and to speak in the broker's name. */
export class TcpProxy {
  readonly #server: net.Server;
  readonly #links = new Set<Link>();
  readonly #target: { host: string; port: number };
  #port = 0;
  /** What the opening frames of a refused connection hold. */
  #refusing: string | undefined;

  private constructor() {
    const { hostname, port } = new URL(RABBITMQ_URL);
    this.#target = { host: hostname, port: Number(port || 5672) };
    this.#server = net.createServer((client) => this.#link(client));
  }

  static async listen(): Promise<TcpProxy> {
    const proxy = new TcpProxy();
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.#port = (proxy.#server.address() as net.AddressInfo).port;
    return proxy;
  }

  get url(): string {
    const url = new URL(RABBITMQ_URL);
    url.hostname = '127.0.0.1';
    url.port = String(this.#port);
    return url.href;
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Cuts the connections whose opening frames hold this name, or all. */
  cut(name = ''): void {
    for (const { client, server, opening } of this.#links)
      if (opening.includes(name)) {
        client.destroy();
        server.destroy();
      }
  }

  /** Cuts the connections whose opening frames hold this name, or all, and refuses such ones until `accept`. */
  refuse(name = ''): void {
    this.#refusing = name;
    this.cut(name);
  }

  accept(): void {
    this.#refusing = undefined;
  }

  /** Sends bytes to every client as if the broker had. */
  inject(frame: Buffer): void {
    for (const { client } of this.#links) client.write(frame);
  }

  /** What the broker has sent so far, over all connections. */
  received(): Buffer {
    return Buffer.concat([...this.#links].map(({ answers }) => answers));
  }

  async close(): Promise<void> {
    this.refuse();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #link(client: net.Socket): void {
    if (this.#refusing === '') {
      client.destroy();
      return;
    }
    const server = net.connect({ ...this.#target, noDelay: true });
    client.setNoDelay(true);
    const link: Link = { client, server, opening: '', answers: Buffer.alloc(0) };
    this.#links.add(link);
    client.on('data', (data) => {
      if (link.opening.length < 4096) link.opening += data.toString('latin1');
      if (this.#refusing !== undefined && link.opening.includes(this.#refusing)) client.destroy();
      else server.write(data);
    });
    server.on('data', (data) => {
      if (link.answers.length < 65_536) link.answers = Buffer.concat([link.answers, data]);
      client.write(data);
    });
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#links.delete(link);
      });
    }
  }
}

interface Link {
  client: net.Socket;
  server: net.Socket;
  opening: string;
  answers: Buffer;
}

/** A method frame of AMQP 0-9-1. */
export function methodFrame(channel: number, classId: number, methodId: number, fields: Buffer): Buffer {
  const ids = Buffer.alloc(4);
  ids.writeUInt16BE(classId, 0);
  ids.writeUInt16BE(methodId, 2);
  return frame(1, channel, Buffer.concat([ids, fields]));
}

function frame(type: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7);
  head.writeUInt8(type, 0);
  head.writeUInt16BE(channel, 1);
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([0xce])]);
}

/** AMQP's short string. */
export function shortString(text: string): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
}
