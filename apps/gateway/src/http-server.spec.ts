import { connect, type AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
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
    'application/json; charset="us-ascii"; charset=utf-8',
    'application/json; half',
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
    for (const coding of ['identity', 'Identity', 'IDENTITY', 'identity, identity', ''])
      expect(problemOf(await post(JSON.stringify(order), { ...json, 'content-encoding': coding })).status).toBe(503);
  });

  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset="UTF-8"',
    'application/json; version=1; profile="a;b, \\" charset=latin1" ;; charset=utf8;',
    'application/json ; x-y=z',
  ])('of type %s are read', async (type) => {
    // Nothing is connected, so a request that was read ends there.
    expect(problemOf(await post(JSON.stringify(order), { 'content-type': type })).status).toBe(503);
  });

  it('past 64 KiB are 413', async () => {
    const padded = JSON.stringify(order).padEnd(65_537);
    expect(problemOf(await post(padded))).toMatchObject({ status: 413, code: 'body_too_large' });
    expect(problemOf(await post(padded.slice(0, 65_536))).status).toBe(503);
  });

  it('nested as deep as 64 KiB allow are refused like any other', async () => {
    const deep = `{"customerId":${'['.repeat(30_000)}${']'.repeat(30_000)}}`;
    expect(problemOf(await post(deep))).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('that are empty are as good as {}, whatever their type', async () => {
    const types = ['text/plain', 'nonsense', 'application/json; charset=latin1'];
    const headed = types.map((type) => ({ 'content-type': type, 'content-length': '0' }));
    for (const headers of [json, {}, ...headed]) {
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

  it('that hold a request to an ETag where there is none are 412, or 304', async () => {
    for (const headers of [{ 'if-match': '"1"' }, { 'if-none-match': '*' }] as Record<string, string>[]) {
      const refused = await post(JSON.stringify(order), { ...json, ...headers });
      expect(problemOf(refused)).toMatchObject({ status: 412, code: 'precondition_failed' });
    }
    for (const headers of [{ 'if-match': '*' }, { 'if-none-match': '"1"' }] as Record<string, string>[])
      expect(problemOf(await post(JSON.stringify(order), { ...json, ...headers })).status).toBe(503);
    const read = (headers: Record<string, string>, url = '/problems') => app.inject({ url, headers });
    expect(problemOf(await read({ 'if-match': '"1"' })).code).toBe('precondition_failed');
    expect(problemOf(await read({ 'if-match': '"1"' }, '/problems/none')).code).toBe('route_not_found');
    const unchanged = await read({ 'if-none-match': '*' });
    expect([unchanged.statusCode, unchanged.body]).toEqual([304, '']);
    expect((await read({ 'if-match': '*', 'if-none-match': '"1"' })).statusCode).toBe(200);
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

it('commands without a key are refused where one is required, and queries are not', async () => {
  const config = readConfig({ GATEWAY_PORT: '0', IDEMPOTENCY_REQUIRED: 'true' });
  const strict = await createApp(config, new Gateway(config), false);
  try {
    await strict.init();
    const url = '/v1/orders';
    const payload = JSON.stringify(order);
    const without = await strict.inject({ method: 'POST', url, headers: json, payload });
    expect(problemOf(without).errors).toEqual([{ header: 'Idempotency-Key', detail: 'is required' }]);
    const headers = { ...json, 'idempotency-key': 'cart-77' };
    expect(problemOf(await strict.inject({ method: 'POST', url, headers, payload })).status).toBe(503);
    expect(problemOf(await strict.inject({ url })).status).toBe(503);
  } finally {
    await strict.close();
  }
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

/** Sends bytes and gives all that comes back until the server hangs up. */
const talk = (bytes: string | Buffer, { half = false } = {}) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () =>
      half ? socket.end(bytes, 'latin1') : socket.write(bytes, 'latin1'),
    );
    let answer = '';
    socket.setTimeout(8_000, () => socket.destroy(new Error('The server did not hang up')));
    socket.on('data', (data) => (answer += data.toString('latin1')));
    socket.on('end', () => socket.end());
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });

interface Raw {
  status: number;
  headers: Record<string, string>;
  body: string;
}
/** The answers in what came back, each as long as its Content-Length says. */
function answersIn(text: string): Raw[] {
  const answers: Raw[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const [line = '', ...fields] = rest.slice(0, end).split('\r\n');
    const headers = Object.fromEntries(
      fields.map((field) => [
        field.slice(0, field.indexOf(':')).toLowerCase(),
        field.slice(field.indexOf(':') + 1).trim(),
      ]),
    );
    const length = Number(headers['content-length'] ?? 0);
    answers.push({ status: Number(line.split(' ')[1]), headers, body: rest.slice(end + 4, end + 4 + length) });
    rest = rest.slice(end + 4 + length);
  }
  return answers;
}
async function onlyAnswer(bytes: string | Buffer, options?: { half: boolean }): Promise<Raw> {
  const answers = answersIn(await talk(bytes, options));
  expect(answers).toHaveLength(1);
  return answers[0] as Raw;
}
const head = (first: string, ...fields: string[]) => `${[first, ...fields, 'connection: close'].join('\r\n')}\r\n\r\n`;

describe('what HTTP leaves no choice about', () => {
  const host = 'host: x';
  const type = 'content-type: application/json';
  it.each<[string, string, number, string]>([
    ['a method that nobody knows', head('BREW /v1/orders HTTP/1.1', host), 501, 'not_implemented'],
    ['a method of small letters', head('get /v1/orders HTTP/1.1', host), 501, 'not_implemented'],
    ['a method of WebDAV', head('PROPFIND /v1/orders HTTP/1.1', host), 501, 'not_implemented'],
    ['a method of WebDAV where nothing is', head('PROPFIND /nothing HTTP/1.1', host), 501, 'not_implemented'],
    ['CONNECT', head('CONNECT x:443 HTTP/1.1', host), 501, 'not_implemented'],
    ['TRACE', head('TRACE /v1/orders HTTP/1.1', host), 405, 'method_not_allowed'],
    [
      'PUT of what is not JSON',
      `${head('PUT /v1/orders HTTP/1.1', host, type, 'content-length: 3')}{,}`,
      405,
      'method_not_allowed',
    ],
    [
      'PUT of a type not read here',
      `${head('PUT /v1/orders HTTP/1.1', host, 'content-type: a/b', 'content-length: 1')}x`,
      405,
      'method_not_allowed',
    ],
    [
      'PATCH of a body that is announced too large',
      head('PATCH /v1/orders HTTP/1.1', host, type, 'content-length: 99999999'),
      405,
      'method_not_allowed',
    ],
    [
      'POST of what is not JSON where nothing is',
      `${head('POST /v1/nothing HTTP/1.1', host, type, 'content-length: 3')}{,}`,
      404,
      'route_not_found',
    ],
    ['a method for all of the server that is not OPTIONS', head('GET * HTTP/1.1', host), 404, 'route_not_found'],
    [
      'a URL of 8,001 characters',
      head(`GET /v1/orders?customer=${'x'.repeat(7_981)} HTTP/1.1`, host),
      414,
      'uri_too_long',
    ],
    ['a URL of 20 KiB', head(`GET /v1/orders?customer=${'x'.repeat(20_000)} HTTP/1.1`, host), 414, 'uri_too_long'],
    ['headers of 20 KiB', head('GET /v1/orders HTTP/1.1', host, `x: ${'y'.repeat(20_000)}`), 431, 'headers_too_large'],
    [
      '201 headers',
      head('GET /v1/orders HTTP/1.1', host, ...Array.from({ length: 199 }, (_, n) => `x-${n}: 1`)),
      431,
      'headers_too_large',
    ],
    [
      '3,000 headers',
      head('GET /v1/orders HTTP/1.1', host, ...Array<string>(3_000).fill('x: 1')),
      431,
      'headers_too_large',
    ],
    ['two hosts', head('GET /v1/orders HTTP/1.1', host, host), 400, 'malformed_request'],
    ['two hosts in HTTP/1.0', head('GET /v1/orders HTTP/1.0', host, 'Host: y'), 400, 'malformed_request'],
    ['no host', head('GET /v1/orders HTTP/1.1'), 400, 'malformed_request'],
    ['a host of two words', head('GET /v1/orders HTTP/1.1', 'host: a b'), 400, 'malformed_request'],
    ['a list of hosts', head('GET /v1/orders HTTP/1.1', 'host: a, b'), 400, 'malformed_request'],
    ['a host with a path', head('GET /v1/orders HTTP/1.1', 'host: a/b'), 400, 'malformed_request'],
    ['a host with a port that is none', head('GET /v1/orders HTTP/1.1', 'host: a:b'), 400, 'malformed_request'],
    ['a host with half an escape', head('GET /v1/orders HTTP/1.1', 'host: a%4'), 400, 'malformed_request'],
    ['a host with a user', head('GET /v1/orders HTTP/1.1', 'host: u@a'), 400, 'malformed_request'],
    [
      'an expectation that nobody knows',
      head('POST /v1/orders HTTP/1.1', host, 'expect: miracles'),
      417,
      'expectation_failed',
    ],
    ['HTTP/2 without having agreed on it', head('GET /v1/orders HTTP/2.0', host), 505, 'http_version_not_supported'],
    ['lines that end without CR', 'GET /v1/orders HTTP/1.1\nhost: x\n\n', 400, 'malformed_request'],
    ['HTTP/0.9', 'GET /v1/orders\r\n\r\n', 505, 'http_version_not_supported'],
    ['HTTP/3', head('GET /v1/orders HTTP/3.0', host), 505, 'http_version_not_supported'],
    [
      'Transfer-Encoding: gzip, chunked',
      `${head('POST /v1/orders HTTP/1.1', host, type, 'transfer-encoding: gzip, chunked')}0\r\n\r\n`,
      501,
      'not_implemented',
    ],
    [
      'Transfer-Encoding: gzip',
      head('POST /v1/orders HTTP/1.1', host, type, 'transfer-encoding: gzip'),
      400,
      'malformed_request',
    ],
    [
      'Transfer-Encoding in HTTP/1.0',
      `${head('POST /v1/orders HTTP/1.0', host, type, 'transfer-encoding: chunked')}0\r\n\r\n`,
      400,
      'malformed_request',
    ],
    [
      'Transfer-Encoding: gzip, chunked in HTTP/1.0',
      `${head('POST /v1/orders HTTP/1.0', host, type, 'transfer-encoding: gzip, chunked')}0\r\n\r\n`,
      400,
      'malformed_request',
    ],
    [
      'two lengths',
      `${head('POST /v1/orders HTTP/1.1', host, type, 'content-length: 2', 'content-length: 3')}{} `,
      400,
      'malformed_request',
    ],
    [
      'a length and a coding',
      `${head('POST /v1/orders HTTP/1.1', host, type, 'content-length: 2', 'transfer-encoding: chunked')}0\r\n\r\n`,
      400,
      'malformed_request',
    ],
    ['a fragment in the URL', head('GET /v1/orders#x HTTP/1.1', host), 400, 'malformed_request'],
    ['octets in the URL', head('GET /v1/orders?customer=\xff HTTP/1.1', host), 400, 'malformed_request'],
    ['a parameter that is not UTF-8', head('GET /v1/orders?customer=%FF HTTP/1.1', host), 400, 'invalid_request'],
    ['a parameter that is cut short', head('GET /v1/orders?customer=%E2%82 HTTP/1.1', host), 400, 'invalid_request'],
    ['a parameter with half an escape', head('GET /v1/orders?customer=%4 HTTP/1.1', host), 400, 'invalid_request'],
    ['the name of a parameter that is not UTF-8', head('GET /v1/orders?%FF=1 HTTP/1.1', host), 400, 'invalid_request'],
    ['a URL with scheme and host', head('GET http://x:80/v1/nothing?x=1 HTTP/1.1', host), 404, 'route_not_found'],
    ['another method on a path with escapes', head('PUT /v1/%6frders HTTP/1.1', host), 405, 'method_not_allowed'],
    [
      'a URL with scheme and host, and another method',
      head('PUT http://x/v1/orders HTTP/1.1', host),
      405,
      'method_not_allowed',
    ],
  ])('%s', async (_what, bytes, status, code) => {
    const answer = await onlyAnswer(bytes);
    expect(answer).toMatchObject({
      status,
      headers: { 'content-type': expect.stringMatching('^application/problem.json'), 'x-frame-options': 'DENY' },
    });
    const problem = Problem.parse(JSON.parse(answer.body));
    expect(problem).toMatchObject({ status, code, requestId: answer.headers['x-request-id'] });
    if (status === 405) expect(answer.headers['allow']).toBe('GET, HEAD, POST');
  });

  it.each(['x', 'x:80', 'a.example', '127.0.0.1:3000', '[::1]', '[::1]:3000', '%41', ''])(
    'takes the host %j',
    async (name) => {
      expect((await onlyAnswer(head('GET /health/live HTTP/1.1', `host: ${name}`))).status).toBe(200);
    },
  );

  it('takes HTTP/1.0 without a host, and a URL with one', async () => {
    expect((await onlyAnswer(head('GET /health/live HTTP/1.0'))).status).toBe(200);
    expect((await onlyAnswer(head('GET http://x/health/live HTTP/1.1', 'host: y'))).status).toBe(200);
    expect((await onlyAnswer(head('GET http://x?a=b HTTP/1.1', 'host: y'))).status).toBe(302);
  });

  it.each([
    ['GET /docs/../../etc/passwd HTTP/1.1', [], 404, 'route_not_found'],
    ['GET /docs/%2e%2e/%2e%2e/etc/passwd HTTP/1.1', [], 404, 'route_not_found'],
    ['GET /docs/nothing.js HTTP/1.1', [], 404, 'route_not_found'],
    ['GET /docs/%00 HTTP/1.1', [], 404, 'route_not_found'],
    ['GET /docs/swagger-ui.css HTTP/1.1', ['if-match: "x"'], 412, 'precondition_failed'],
  ])('%s %j is no error of this side', async (line, fields, status, code) => {
    const answer = await onlyAnswer(head(line, 'host: x', ...fields));
    expect([answer.status, Problem.parse(JSON.parse(answer.body)).code]).toEqual([status, code]);
  });

  it('answers a page whole whatever range of it is asked for', async () => {
    const answer = await onlyAnswer(head('GET /docs/swagger-ui.css HTTP/1.1', 'host: x', 'range: bytes=99999999-'));
    expect([answer.status, answer.body.length]).toEqual([200, Number(answer.headers['content-length'])]);
  });

  it('says for OPTIONS * which methods it knows', async () => {
    const { status, headers } = await onlyAnswer(head('OPTIONS * HTTP/1.1', 'host: x'));
    expect([status, headers['allow']]).toEqual([204, expect.stringContaining('POST')]);
  });

  it('answers an error about HEAD without a body', async () => {
    const text = await talk(head('HEAD /v1/nothing HTTP/1.1', 'host: x'));
    expect(text).toMatch(/^HTTP\/1\.1 404 /);
    expect(text.endsWith('\r\n\r\n')).toBe(true);
  });

  it('takes an empty body in chunks for none, whatever its type', async () => {
    const chunks = (body: string) =>
      `${head('POST /v1/orders HTTP/1.1', 'host: x', 'content-type: text/plain', 'transfer-encoding: Chunked')}${body}`;
    expect(Problem.parse(JSON.parse((await onlyAnswer(chunks('0\r\n\r\n'))).body)).code).toBe('invalid_request');
    const one = await onlyAnswer(chunks('1\r\nx\r\n0\r\n\r\n'));
    expect(Problem.parse(JSON.parse(one.body)).code).toBe('unsupported_media_type');
  });

  it('answers a connection that has been closed on one side', async () => {
    const answer = await onlyAnswer('GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n', { half: true });
    expect(answer.status).toBe(200);
    const cut = await onlyAnswer(
      'POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
      { half: true },
    );
    expect(Problem.parse(JSON.parse(cut.body)).code).toBe('malformed_request');
  });
});

it('says nothing in the log of clients that go away', async () => {
  const lines: unknown[] = [];
  const note = (...line: unknown[]) => void lines.push(line);
  const ignore = () => undefined;
  const config = readConfig({ GATEWAY_PORT: '0' });
  const logger = { log: ignore, debug: ignore, warn: note, error: note, fatal: note };
  const noted = await createApp(config, new Gateway(config), logger);
  try {
    await noted.listen(0, '127.0.0.1');
    const server = noted.getHttpServer();
    const at = (server.address() as AddressInfo).port;
    const open = () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));
    const long = (type: string) =>
      `POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: 9\r\n\r\n{`;
    const chunked = long('application/json').replace('content-length: 9', 'transfer-encoding: chunked');
    const cut = ['GET /v1', long('application/json'), long('text/plain'), chunked, long('a/b') + long('a/b')];
    const left = cut.flatMap((bytes) =>
      (['resetAndDestroy', 'destroy', 'end'] as const).map((leave) => {
        const socket = connect(at, '127.0.0.1', () => socket.write(bytes));
        return { socket: socket.on('error', ignore).resume(), leave };
      }),
    );
    await fetch(`http://127.0.0.1:${at}/health/live`, { headers: { connection: 'close' } });
    for (const { socket, leave } of left) socket[leave]();
    for (const end = Date.now() + 15_000; (await open()) > 0 && Date.now() < end;) await pause(5);
    expect(await open()).toBe(0);
  } finally {
    await noted.close();
  }
  expect(lines).toEqual([]);
}, 20_000);

describe('what is not HTTP', () => {
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
