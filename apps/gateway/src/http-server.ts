import type { IncomingMessage } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from './config.ts';
import { answerBadHttp, answerEverything, inTurn } from './connections.ts';
import { readJsonBodies } from './json-body.ts';
import { holdWithoutTag } from './orders/etag.ts';
import { invalidRequest, NOTHING_DONE, ProblemError, retryAfter } from './problem.ts';
import { type MethodsOf, notFound, sendProblem, toProblemError } from './problem.filter.ts';
import { requestIdOf } from './trace.ts';

/** Fixed, because working them out per request halves the rate. Answers are data: nothing may frame, run or keep them. */
const HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

/** Made once: a trace of the stack for each of thousands of refusals a second would be the larger part of their cost. */
const full = new ProblemError('unavailable', `${NOTHING_DONE}: as many requests as may wait are under way`, {
  headers: retryAfter(1_000),
});

/** The pages of the API's documentation run Swagger UI, which writes scripts and styles into its page. */
const PAGE_HEADERS = {
  ...HEADERS,
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
    "connect-src 'self'; frame-ancestors 'none'",
  'cache-control': 'no-cache',
};

/**
 * Fastify under Nest, with limits on what clients may send and how long they may take, and what knows the methods of each
 * path once the routes are there.
 *
 * @param isFull whether the next command on orders would be refused anyway; it may be a repeat when it has a key.
 */
export function httpServer(
  config: Config,
  isFull: (mayRepeat: boolean) => boolean,
): { adapter: FastifyAdapter; methodsOf: MethodsOf } {
  const adapter = new FastifyAdapter({
    bodyLimit: config.BODY_BYTES_MAX,
    requestTimeout: config.REQUEST_TIMEOUT_MS,
    keepAliveTimeout: config.KEEP_ALIVE_MS,
    http: {
      headersTimeout: config.REQUEST_TIMEOUT_MS,
      // Node looks for connections past their limits twice a minute unless told otherwise.
      connectionsCheckingInterval: Math.min(2_000, config.REQUEST_TIMEOUT_MS),
      maxHeaderSize: 16_384,
      // Node would answer without a body.
      requireHostHeader: false,
    },
    // A client that takes nothing of an answer does not keep it here for ever.
    connectionTimeout: config.DEADLINE_MS + config.KEEP_ALIVE_MS,
    rewriteUrl: (request: { url?: string; method?: string }) => originForm(request),
    // A request that is under way when the gateway stops is answered; only idle connections are cut.
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    // No middleware of the Connect kind is used, and its adapter costs on every request.
    skipMiddie: true,
    routerOptions: { maxParamLength: 200 },
    genReqId: (request: { headers: NodeJS.Dict<string | string[]> }) => requestIdOf(request.headers['x-request-id']),
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(toProblemError(error, request), request, reply.headers(HEADERS)),
    clientErrorHandler: (error, socket) => answerBadHttp(error, socket, HEADERS),
  });
  const server = adapter.getInstance<FastifyInstance>();
  answerEverything(server.server, HEADERS);
  // Node drops what is past 2,000 lines: refused instead, see below.
  server.server.maxHeadersCount = 0;
  server.decorateRequest('keyRequired', config.IDEMPOTENCY_REQUIRED);
  readJsonBodies(server);
  const methodsOf = rememberMethods(server);
  const begin = (request: FastifyRequest, reply: FastifyReply, done: () => void) => {
    const problem = problemOfHead(request, methodsOf);
    if (problem !== undefined) {
      // Where the request ends is not certain.
      if (problem.code === 'malformed_request') reply.header('connection', 'close');
      return sendProblem(problem, request, reply);
    }
    if (request.is404) return void reply.code(204).header('allow', METHODS.join(', ')).send();
    // Answers are given whole.
    if (request.headers.range !== undefined) request.headers.range = undefined;
    // Without a body, its type says nothing.
    if (request.headers['content-length'] === '0') request.headers['content-type'] = undefined;
    if (request.method === 'POST' && !isConditional(request) && !holdWithoutTag(request.headers))
      return sendProblem(unmet, request, reply);
    // Before its body is read: past the limit, what a refusal costs is taken from what is accepted.
    // Operators have room of their own.
    const isCommand = request.method === 'POST' && request.url.startsWith('/v1/orders');
    if (isCommand && isFull(request.headers['idempotency-key'] !== undefined)) sendProblem(full, request, reply);
    else done();
  };
  server.addHook('onRequest', (request, reply, done) => {
    reply.headers(request.url.startsWith('/docs') ? PAGE_HEADERS : HEADERS).header('x-request-id', request.id);
    if (reply.raw.socket === null) inTurn(request.raw, reply.raw, () => begin(request, reply, done));
    else begin(request, reply, done);
  });
  refuseConditionsOfReads(server);
  closeConnectionsOnClose(server);
  return { adapter, methodsOf };
}

/** Whether its handler holds the conditions of the request to the order's version. */
const isConditional = (request: FastifyRequest) =>
  (request.routeOptions.config as { conditional?: boolean }).conditional === true;

const unmet = new ProblemError('precondition_failed', 'A condition does not hold for what has no ETag');

/** Conditions count only where there would be an answer (RFC 9110, section 13.2.1). */
function refuseConditionsOfReads(server: FastifyInstance): void {
  server.addHook('onSend', (request, reply, payload, done) => {
    const { headers } = request;
    const asked = headers['if-match'] !== undefined || headers['if-none-match'] !== undefined;
    if (
      !asked ||
      request.method === 'POST' ||
      reply.statusCode !== 200 ||
      reply.hasHeader('etag') ||
      holdWithoutTag(headers)
    )
      return done(null, payload);
    const unchanged = holdWithoutTag({ 'if-match': headers['if-match'] });
    reply.code(unchanged ? 304 : unmet.status);
    if (unchanged) return done(null, null);
    reply.header('content-type', 'application/problem+json');
    return done(null, JSON.stringify(unmet.toProblem(request.id)));
  });
}

/** The methods that HTTP knows and a path may have (RFC 9110, section 9; RFC 5789). */
const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE'];
/** RFC 9110, section 4.1, recommends at least this. */
const URL_LENGTH_MAX = 8_000;
const HEADER_LINES_MAX = 200;
/** A name or an address with or without a port (RFC 9110, section 7.2). */
const HOST = /^(?:(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})*|\[[\da-f:.]+\])(?::\d{0,5})?$/i;

/** What is wrong with a request before anything about its body: its framing, its URL, its method. */
function problemOfHead(request: FastifyRequest, methodsOf: MethodsOf): ProblemError | undefined {
  const { raw, url, method } = request;
  if (raw.httpVersionMajor !== 1)
    return new ProblemError('http_version_not_supported', 'Only HTTP/1.1 and HTTP/1.0 are spoken here');
  if (raw.rawHeaders.length > 2 * HEADER_LINES_MAX)
    return new ProblemError('headers_too_large', `There are more than ${HEADER_LINES_MAX} headers`);
  const framing = problemOfFraming(raw);
  if (framing !== undefined) return framing;
  if (url.length > URL_LENGTH_MAX)
    return new ProblemError('uri_too_long', `The URL is longer than ${URL_LENGTH_MAX} characters`);
  if (/[^!-"$&-~]/.test(url)) {
    const problem = problemOfEncoding(url);
    if (problem !== undefined) return problem;
  }
  if (request.is404 && !(method === 'OPTIONS' && url === '*')) {
    if (!METHODS.includes(method)) return new ProblemError('not_implemented', `${method} is not known here`);
    return notFound(request, methodsOf);
  }
  return undefined;
}

function problemOfFraming({ rawHeaders, headers, httpVersionMinor }: IncomingMessage): ProblemError | undefined {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  if (hosts > 1 || (hosts === 0 && httpVersionMinor > 0) || !HOST.test(headers.host ?? ''))
    return new ProblemError('malformed_request', 'A request has one Host, a name or an address, perhaps with a port');
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return undefined;
  if (httpVersionMinor === 0) return new ProblemError('malformed_request', 'HTTP/1.0 has no Transfer-Encoding');
  if (/^chunked$/i.test(coding)) return undefined;
  if (!/,[ \t]*chunked$/i.test(coding))
    return new ProblemError('malformed_request', 'A body without a Content-Length must be chunked');
  return new ProblemError('not_implemented', `Transfer-Encoding ${coding} is not known here: only chunked is`);
}

/** Of a URL that has more than the plain characters of one: octets that stand for text must be UTF-8. */
function problemOfEncoding(url: string): ProblemError | undefined {
  if (/[^!-"$-~]/.test(url))
    return new ProblemError('malformed_request', 'The URL has characters that must be percent-encoded');
  const query = url.indexOf('?');
  if (query === -1) return undefined;
  const errors = url
    .slice(query + 1)
    .split('&')
    .filter((pair) => !isDecodable(pair))
    .map((pair) => ({ parameter: pair.split('=', 1)[0] as string, detail: 'is not percent-encoded UTF-8' }));
  return errors.length === 0 ? undefined : invalidRequest(errors);
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Path and query of a URL, which a client may send whole (RFC 9112, section 3.2). */
function originForm({ url = '/', method }: { url?: string; method?: string }): string {
  if (url.startsWith('/') || (url === '*' && method === 'OPTIONS')) return url;
  const path = url.replace(/^https?:\/\/[^/?]*/i, '');
  return path.startsWith('/') ? path : `/${path}`;
}

/**
 * Lets connections end with the answers that are under way when the server closes. Fastify cuts the idle ones at that
 * moment, and those that fall idle after it would keep the server open until their keep-alive is over.
 */
function closeConnectionsOnClose(server: FastifyInstance): void {
  let closing = false;
  server.addHook('preClose', (done) => {
    closing = true;
    done();
  });
  server.addHook('onSend', (_request, reply, payload, done) => {
    if (closing) reply.header('connection', 'close');
    done(null, payload);
  });
}

/** The router tells what it has for a method, never which methods it has: a 405 must say the latter. */
function rememberMethods(server: FastifyInstance): MethodsOf {
  const routes: { path: RegExp; methods: string[] }[] = [];
  server.addHook('onRoute', ({ url, method }) => {
    // Wildcards are for any path, so they do not tell what a path takes.
    if (url.includes('*')) return;
    const pattern = url.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/:[^/]+/g, '[^/]+');
    routes.push({ path: new RegExp(`^${pattern}$`), methods: [method].flat() });
  });
  return (path) =>
    [...new Set(routes.filter((route) => route.path.test(path)).flatMap((route) => route.methods))].sort();
}
