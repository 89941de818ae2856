import net from 'node:net';

/** Kafka's number for the request that sends records. https://kafka.apache.org/protocol#protocol_api_keys */
const PRODUCE = 0;

/**
 * Stands between one broker and its clients. It can lose the answers to sends: the broker has taken the records, and the
 * connection ends before the client is told. It can also cut every connection.
 */
export class KafkaProxy {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  /** Where the broker listens. */
  readonly target: number;
  /** How many answers are still to be lost, and how many have been. */
  losing = 0;
  lost = 0;

  private constructor(target: number) {
    this.target = target;
    this.#server = net.createServer((client) => this.#connect(client));
  }

  /** Listens on a free port. @param target the port of the broker, which need not listen yet. */
  static async open(target: number): Promise<KafkaProxy> {
    const proxy = new KafkaProxy(target);
    await new Promise<void>((listening) => proxy.#server.listen(0, '127.0.0.1', listening));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Cuts all connections, with whatever is on its way. @returns how many there were. */
  cut(): number {
    const sockets = [...this.#sockets];
    for (const socket of sockets) socket.destroy();
    return sockets.length / 2;
  }

  async close(): Promise<void> {
    const closed = new Promise((closed) => this.#server.close(closed));
    this.cut();
    await closed;
  }

  #connect(client: net.Socket): void {
    const broker = net.connect({ host: '127.0.0.1', port: this.target, noDelay: true });
    client.setNoDelay(true);
    /** Sends that the broker has not answered yet, by their correlation ids. */
    const sends = new Set<number>();
    const requests = new Frames((frame) => {
      if (frame.readInt16BE(4) === PRODUCE) sends.add(frame.readInt32BE(8));
      broker.write(frame);
    });
    const answers = new Frames((frame) => {
      if (sends.delete(frame.readInt32BE(4)) && this.losing > 0) {
        this.losing -= 1;
        this.lost += 1;
        client.destroy();
      } else client.write(frame);
    });
    client.on('data', (data) => requests.add(data));
    broker.on('data', (data) => answers.add(data));
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}

/** Cuts a stream of Kafka's protocol into its frames: four bytes of length, then so many. */
class Frames {
  #parts: Buffer[] = [];
  #bytes = 0;
  readonly #onFrame: (frame: Buffer) => void;

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  add(data: Buffer): void {
    this.#parts.push(data);
    this.#bytes += data.length;
    for (;;) {
      if (this.#bytes < 4) return;
      if ((this.#parts[0] as Buffer).length < 4) this.#parts = [Buffer.concat(this.#parts)];
      const size = 4 + (this.#parts[0] as Buffer).readInt32BE(0);
      if (this.#bytes < size) return;
      const all = Buffer.concat(this.#parts);
      this.#parts = [all.subarray(size)];
      this.#bytes -= size;
      this.#onFrame(all.subarray(0, size));
    }
  }
}
