import { connect, type AddressInfo } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Gateway } from './app.module.ts';
import { readConfig } from './config.ts';
import { Problem, PROBLEMS } from './problem.ts';
import { createApp } from './serve.ts';

let app: NestFastifyApplication;
let port: number;

beforeAll(async () => {
  // Nothing is connected: what follows must be decided before anything is sent on.
  const config = readConfig({ GATEWAY_PORT: '0', REQUEST_TIMEOUT_MS: '500' });
  app = await createApp(config, new Gateway(config), false);
  await app.listen(0, '127.0.0.1');
  port = (app.getHttpServer().address() as AddressInfo).port;
});
afterAll(() => app.close());

const order = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };
const json = { 'content-type': 'application/json' };
const post = (payload: string | Buffer | undefined, headers: Record<string, string> = json) =>
  app.inject({ method: 'POST', url: '/v1/orders', headers, ...(payload === undefined ? {} : { payload }) });

interface Answer {
  statusCode: number;
  headers: Record<string, unknown>;
  json(): unknown;
}
function problemOf(answer: Answer): Problem {
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  const problem = Problem.parse(answer.json());
  expect(problem.status).toBe(answer.statusCode);
  expect(problem.requestId).toBe(answer.headers['x-request-id']);
  return problem;
}

describe('bodies', () => {
  it.each([
    ['cut short', '{"customerId":'],
    ['no JSON', 'hello'],
    ['with a key named __proto__', '{"__proto__":{"admin":true}}'],
    ['with a constructor that holds prototype', '{"constructor":{"prototype":{"admin":true}}}'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ])('that are %s are 400 invalid_json', async (_what, body) => {
    expect(problemOf(await post(body))).toMatchObject({ status: 400, code: 'invalid_json' });
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/json; charset=latin1',
    'application/jsonp',
    'multipart/form-data; boundary=x',
    'nonsense',
  ])('of type %s are 415', async (type) => {
    const answer = await post(JSON.stringify(order), { 'content-type': type });
    expect(problemOf(answer)).toMatchObject({ status: 415, code: 'unsupported_media_type' });
  });

  it('without a type are 415, and so are compressed ones', async () => {
    expect(problemOf(await post(JSON.stringify(order), {})).status).toBe(415);
    const compressed = await post(JSON.stringify(order), { ...json, 'content-encoding': 'gzip' });
    expect(problemOf(compressed).status).toBe(415);
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"'])(
    'of type %s are read',
    async (type) => {
      // Nothing is connected, so a request that was read ends there.
      expect(problemOf(await post(JSON.stringify(order), { 'content-type': type })).status).toBe(503);
    },
  );

  it('past 64 KiB are 413', async () => {
    const padded = JSON.stringify(order).padEnd(65_537);
    expect(problemOf(await post(padded))).toMatchObject({ status: 413, code: 'body_too_large' });
    expect(problemOf(await post(padded.slice(0, 65_536))).status).toBe(503);
  });

  it('nested as deep as 64 KiB allow are refused like any other', async () => {
    const deep = `{"customerId":${'['.repeat(30_000)}${']'.repeat(30_000)}}`;
    expect(problemOf(await post(deep))).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('that are empty are as good as {}, with a type and without', async () => {
    for (const headers of [json, {}]) {
      const problem = problemOf(await post(undefined, headers));
      expect(problem.errors).toContainEqual({ pointer: '/customerId', detail: 'is required' });
    }
  });
});

describe('paths and methods', () => {
  it('of nothing are 404', async () => {
    expect(problemOf(await app.inject('/v2/orders'))).toMatchObject({ status: 404, code: 'route_not_found' });
  });

  it('with another method are 405, with those that there are', async () => {
    const answer = await app.inject({ method: 'DELETE', url: '/v1/orders?x=1' });
    expect(problemOf(answer)).toMatchObject({ status: 405, code: 'method_not_allowed' });
    expect(answer.headers['allow']).toBe('GET, HEAD, POST');
    const cancel = await app.inject('/v1/orders/0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10/cancel');
    expect(cancel.headers['allow']).toBe('POST');
  });

  it('that cannot be decoded are 400, and too long ones 414', async () => {
    expect(problemOf(await app.inject('/v1/orders/%zz'))).toMatchObject({ status: 400, code: 'malformed_request' });
    expect(problemOf(await app.inject(`/v1/orders/${'x'.repeat(300)}`))).toMatchObject({ status: 414 });
  });
});

describe('headers', () => {
  it('that are malformed are 400 and named', async () => {
    const key = await post(JSON.stringify(order), { ...json, 'idempotency-key': 'a b' });
    expect(problemOf(key).errors).toEqual([{ header: 'Idempotency-Key', detail: expect.any(String) }]);
    const cancel = await app.inject({
      method: 'POST',
      url: '/v1/orders/0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10/cancel',
      headers: { 'if-match': 'latest' },
    });
    expect(problemOf(cancel).errors).toEqual([{ header: 'If-Match', detail: expect.any(String) }]);
  });

  it('of every answer keep browsers from guessing, framing and storing', async () => {
    for (const url of ['/health/live', '/nothing', '/v1/orders'])
      expect((await app.inject(url)).headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'cache-control': 'no-store',
      });
  });

  it("of the request's id are echoed when sane, else made", async () => {
    expect((await app.inject({ url: '/nothing', headers: { 'x-request-id': 'mine-1' } })).headers).toMatchObject({
      'x-request-id': 'mine-1',
    });
    const odd = await app.inject({ url: '/nothing', headers: { 'x-request-id': 'a b' } });
    expect(odd.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
  });

  it('echo the idempotency key on failures, too, also one that was made', async () => {
    const given = await post(JSON.stringify(order), { ...json, 'idempotency-key': '"cart-77"' });
    expect(given.headers['idempotency-key']).toBe('cart-77');
    expect((await post(JSON.stringify(order))).headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('without RabbitMQ', () => {
  it('everything that needs it is 503 at once, with the time to wait', async () => {
    for (const answer of [await post(JSON.stringify(order)), await app.inject('/v1/orders')]) {
      expect(problemOf(answer)).toMatchObject({ status: 503, code: 'unavailable', retryable: true });
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
  });

  it('the gateway is alive and not ready', async () => {
    expect((await app.inject('/health/live')).statusCode).toBe(200);
    const ready = await app.inject('/health/ready');
    expect(ready.statusCode).toBe(503);
    expect(ready.json()).toMatchObject({ status: 'unavailable', checks: { rabbitmq: { status: 'unavailable' } } });
  });
});

describe('problems', () => {
  it.each(Object.keys(PROBLEMS))('%s is explained at its type', async (code) => {
    const answer = await app.inject(`/problems/${code.replaceAll('_', '-')}`);
    expect(answer.json()).toMatchObject({ code, title: expect.any(String), advice: expect.stringMatching(/\w/) });
  });

  it('that do not exist are 404', async () => {
    expect(problemOf(await app.inject('/problems/none')).code).toBe('route_not_found');
  });
});

describe('what is not HTTP', () => {
  /** Sends bytes and gives all that comes back until the server hangs up. */
  const talk = (bytes: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
      let answer = '';
      socket.setTimeout(8_000, () => socket.destroy(new Error('The server did not hang up')));
      socket.on('data', (data) => (answer += data.toString()));
      socket.on('error', reject);
      socket.on('close', () => resolve(answer));
    });
  const bodyOf = (answer: string): unknown => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')));

  it('is answered with a problem document', async () => {
    const answer = await talk('NOT HTTP\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(Problem.parse(bodyOf(answer)).code).toBe('malformed_request');
  });

  it('is refused when its headers are too large', async () => {
    const answer = await talk(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`);
    expect(Problem.parse(bodyOf(answer)).code).toBe('headers_too_large');
  });

  it('is cut off when it comes too slowly', async () => {
    const head = 'POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n';
    const [inHeaders, inBody, answered] = await Promise.all([
      talk(head),
      talk(`${head}content-type: application/json\r\n\r\n{`),
      talk(`${head}content-type: text/plain\r\n\r\n{`),
    ]);
    expect(Problem.parse(bodyOf(inHeaders)).code).toBe('request_timeout');
    expect(Problem.parse(bodyOf(inBody)).code).toBe('request_timeout');
    expect(Problem.parse(bodyOf(answered)).code).toBe('unsupported_media_type');
  }, 10_000);
});
