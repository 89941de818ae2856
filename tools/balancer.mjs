// @ts-check
// A load balancer for tests, in front of several gateways.
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;
const READINESS_TIMEOUT_MS = 3_000;

/** @typedef {{ readonly url: string }} Instance */

/**
 * As small as it can be: requests go to the instances whose readiness is green, in turn, over connections that are kept
 * open. It repeats nothing: what fails behind it fails in front of it.
 */
export class Balancer {
  // Its clients decide when a connection has been idle for too long: closed here, it could meet their next request.
  #server = http.createServer({ keepAliveTimeout: 0 }, (request, response) => this.#forward(request, response));
  #agent = new http.Agent({ keepAlive: true });
  /** @type {Set<Instance>} */
  #instances = new Set();
  /** @type {readonly Instance[]} */
  #green = [];
  #turn = 0;
  #open = true;
  #polling = this.#poll();

  static async open() {
    const balancer = new Balancer();
    await new Promise((listening) => balancer.#server.listen(0, '127.0.0.1', () => listening(undefined)));
    return balancer;
  }

  get url() {
    const { port } = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${port}`;
  }

  /** The instances that requests go to. */
  get green() {
    return this.#green;
  }

  /** @param {Instance} instance */
  add(instance) {
    this.#instances.add(instance);
  }

  async close() {
    this.#open = false;
    await this.#polling;
    this.#agent.destroy();
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }

  async #poll() {
    while (this.#open) {
      const asked = [...this.#instances].map(async (instance) => ((await isReady(instance)) ? [instance] : []));
      this.#green = (await Promise.all(asked)).flat();
      await sleep(POLL_MS);
    }
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
  #forward(request, response) {
    const instance = this.#green[this.#turn++ % this.#green.length];
    if (instance === undefined) {
      response.writeHead(502).end('{"code":"no_backend"}');
      return;
    }
    const { method, headers } = request;
    const options = { method, headers, agent: this.#agent };
    const onward = http.request(`${instance.url}${request.url}`, options, (answer) => {
      // Both speak of the connection behind (RFC 9110, section 7.6.1), which stays open for longer than one to here.
      const { connection: _connection, 'keep-alive': _keepAlive, ...passed } = answer.headers;
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

/** @param {Instance} instance */
async function isReady({ url }) {
  try {
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(READINESS_TIMEOUT_MS) });
    // Read, so that the connection can be used again.
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
