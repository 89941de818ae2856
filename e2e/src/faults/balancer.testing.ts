import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OwnService } from './services.testing.ts';
import { pause } from './waiting.testing.ts';

const POLL_MS = 50;

/**
 * A load balancer as small as it can be: requests go to the instances whose readiness is green, in turn, over connections
 * that are kept open. It repeats nothing: what fails behind it fails in front of it.
 */
export class Balancer {
  readonly #server: http.Server;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #instances = new Set<OwnService>();
  #green: readonly OwnService[] = [];
  #turn = 0;
  #open = true;
  readonly #polling: Promise<void>;

  private constructor() {
    this.#server = http.createServer((request, response) => this.#forward(request, response));
    this.#polling = this.#poll();
  }

  static async open(): Promise<Balancer> {
    const balancer = new Balancer();
    await new Promise<void>((listening) => balancer.#server.listen(0, '127.0.0.1', listening));
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The instances that requests go to. */
  get green(): readonly OwnService[] {
    return this.#green;
  }

  add(instance: OwnService): void {
    this.#instances.add(instance);
  }

  async close(): Promise<void> {
    this.#open = false;
    await this.#polling;
    this.#agent.destroy();
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }

  async #poll(): Promise<void> {
    while (this.#open) {
      const asked = [...this.#instances].map(async (instance) => {
        const isReady = await instance.readiness().then(
          ({ httpStatus }) => httpStatus === 200,
          () => false,
        );
        return isReady ? [instance] : [];
      });
      this.#green = (await Promise.all(asked)).flat();
      await pause(POLL_MS);
    }
  }

  #forward(request: http.IncomingMessage, response: http.ServerResponse): void {
    const instance = this.#green[this.#turn++ % this.#green.length];
    if (instance === undefined) {
      response.writeHead(502).end('{"code":"no_backend"}');
      return;
    }
    const { method, headers } = request;
    const onward = http.request(`${instance.url}${request.url}`, { method, headers, agent: this.#agent }, (answer) => {
      const { connection: _connection, ...passed } = answer.headers;
      response.writeHead(answer.statusCode ?? 502, passed);
      answer.pipe(response);
    });
    onward.on('error', (error) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end(JSON.stringify({ code: `bad_gateway: ${error.message}` }));
    });
    request.pipe(onward);
  }
}
