import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from './config.ts';
import { readJsonBodies } from './json-body.ts';
import { ProblemError, type ProblemCode, retryAfter } from './problem.ts';
import { type MethodsOf, sendProblem, toProblemError } from './problem.filter.ts';
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
const full = new ProblemError('unavailable', 'Nothing was done: as many requests as may wait are under way', {
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
 * @param isFull whether the next command would be refused anyway.
 */
export function httpServer(config: Config, isFull: () => boolean): { adapter: FastifyAdapter; methodsOf: MethodsOf } {
  const adapter = new FastifyAdapter({
    bodyLimit: config.BODY_BYTES_MAX,
    requestTimeout: config.REQUEST_TIMEOUT_MS,
    keepAliveTimeout: config.KEEP_ALIVE_MS,
    http: {
      headersTimeout: config.REQUEST_TIMEOUT_MS,
      // Node looks for connections past their limits twice a minute unless told otherwise.
      connectionsCheckingInterval: Math.min(2_000, config.REQUEST_TIMEOUT_MS),
      maxHeaderSize: 16_384,
    },
    // A request that is under way when the gateway stops is answered; only idle connections are cut.
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    // No middleware of the Connect kind is used, and its adapter costs on every request.
    skipMiddie: true,
    routerOptions: { maxParamLength: 200 },
    genReqId: (request: { headers: NodeJS.Dict<string | string[]> }) => requestIdOf(request.headers['x-request-id']),
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(toProblemError(error, request), request, reply),
    clientErrorHandler: answerBadHttp,
  });
  const server = adapter.getInstance<FastifyInstance>();
  readJsonBodies(server);
  server.addHook('onRequest', (request, reply, done) => {
    reply.headers(request.url.startsWith('/docs') ? PAGE_HEADERS : HEADERS).header('x-request-id', request.id);
    // Before its body is read: past the limit, what a refusal costs is taken from what is accepted.
    if (request.method === 'POST' && isFull()) sendProblem(full, request, reply);
    else done();
  });
  closeConnectionsOnClose(server);
  return { adapter, methodsOf: rememberMethods(server) };
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

/** What Node keeps on a socket: the answer under way, and the request whose body is still being read. */
type HttpSocket = Socket & { _httpMessage?: ServerResponse | null; parser?: { incoming?: IncomingMessage | null } };

/** What Node cannot read as HTTP never becomes a request; the socket gets the problem document as it is. */
function answerBadHttp(error: Error & { code?: string }, socket: HttpSocket): void {
  const answer = socket._httpMessage;
  const reading = socket.parser?.incoming?.complete === false;
  // A second answer must not follow the first: one that has begun, or one that went out before its request was all here.
  const answered = answer ? answer.headersSent : reading;
  if (error.code === 'ECONNRESET' || !socket.writable || answered) {
    socket.destroy();
    return;
  }
  const [code, detail] = BAD_HTTP[error.code ?? ''] ?? ['malformed_request', 'The request is not well-formed HTTP'];
  const problem = new ProblemError(code, detail);
  const requestId = requestIdOf(undefined);
  const body = JSON.stringify(problem.toProblem(requestId));
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\ncontent-type: application/problem+json\r\nx-request-id: ${requestId}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

const BAD_HTTP: Readonly<Record<string, [ProblemCode, string]>> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The headers are larger than 16 KiB'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request did not arrive in time'],
};
