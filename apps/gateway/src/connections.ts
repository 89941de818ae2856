import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { ProblemError, type ProblemCode } from './problem.ts';
import { requestIdOf } from './trace.ts';

/** What Node keeps on a socket: the answer under way, the request whose body is being read, and whether reading is held. */
type HttpSocket = Socket & {
  _httpMessage?: (ServerResponse & { req: IncomingMessage }) | null;
  _paused?: boolean;
  parser?: { incoming?: IncomingMessage | null; resume(): void } | null;
};

/** How long a client may take to read the last answer of its connection, in milliseconds, before it is cut off. */
const LINGER_MS = 2_000;

/** How many requests of a connection have come before those ahead of them were answered. */
const waiting = new WeakMap<Socket, number>();

/**
 * Begins a request when it is the first of its connection without an answer, so that pipelined requests run one after the
 * other (RFC 9112, section 9.3.2). Meanwhile no more of them are read: a client that sends and takes nothing is held back.
 */
export function inTurn(request: IncomingMessage, answer: ServerResponse, begin: () => void): void {
  const socket = request.socket as HttpSocket;
  waiting.set(socket, (waiting.get(socket) ?? 0) + 1);
  // Node takes its own flag for a reason not to resume.
  socket._paused = true;
  socket.pause();
  answer.once('socket', () => {
    const left = (waiting.get(socket) ?? 1) - 1;
    waiting.set(socket, left);
    if (left === 0) {
      socket._paused = false;
      socket.parser?.resume();
      socket.resume();
    }
    // Node has not finished giving the socket to the answer, and other connections want a turn, too.
    setImmediate(begin);
  });
}

/** Answers whatever Node does not make a request of, or would answer without a body, with a problem document as well. */
export function answerEverything(server: Server, headers: Readonly<Record<string, string>>): void {
  // A client may have sent all it had to send and wait for the answer.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on('connect', (_request, socket: Socket) =>
    answerLast(socket, new ProblemError('not_implemented', 'CONNECT is not known here'), headers),
  );
  server.on('checkExpectation', (request: IncomingMessage, answer: ServerResponse) => {
    const problem = new ProblemError('expectation_failed', `Expect: ${request.headers.expect} is not known here`);
    const requestId = requestIdOf(request.headers['x-request-id']);
    const body = JSON.stringify(problem.toProblem(requestId));
    answer.writeHead(problem.status, problemHeaders(requestId, body, headers)).end(body);
  });
}

interface BadHttp {
  code?: string;
  bytesParsed?: number;
  /** The bytes in which it was found, as a Buffer. */
  rawPacket?: unknown;
}

/** What Node cannot read as HTTP never becomes a request; the socket gets the problem document as it is. */
export function answerBadHttp(error: BadHttp, socket: Socket, headers: Readonly<Record<string, string>>): void {
  if (error.code === 'ECONNRESET') socket.destroy();
  else answerLast(socket, badHttp(error), headers);
}

const refused = new WeakSet<Socket>();

/** Answers, after all that was asked before, with what ends the connection. */
function answerLast(socket: HttpSocket, problem: ProblemError, headers: Readonly<Record<string, string>>): void {
  // What else comes in on it is no request either.
  if (refused.has(socket)) return;
  refused.add(socket);
  const incoming = socket.parser?.incoming;
  const reading = incoming?.complete === false ? incoming : undefined;
  const answer = () => {
    const earlier = socket._httpMessage;
    // Node gives the socket to the next answer before this listener hears that one is through.
    if (earlier && earlier.req !== reading && !earlier.writableFinished) return void earlier.once('finish', answer);
    // A second answer must not follow the first: one that has begun, or one that went out before its request was all here.
    if (!socket.writable || (earlier ? earlier.headersSent : reading)) return void socket.destroy();
    const requestId = requestIdOf(undefined);
    const body = JSON.stringify(problem.toProblem(requestId));
    const fields = Object.entries(problemHeaders(requestId, body, headers)).map(([name, value]) => `${name}: ${value}`);
    socket.end([`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`, ...fields, '', body].join('\r\n'));
    // Cut off at once, it would lose the answer with what it has sent and nobody has read.
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket._paused = false;
    socket.resume();
  };
  answer();
}

const problemHeaders = (requestId: string, body: string, headers: Readonly<Record<string, string>>) => ({
  ...headers,
  'content-type': 'application/problem+json',
  'content-length': String(Buffer.byteLength(body)),
  'x-request-id': requestId,
  connection: 'close',
});

const BAD_HTTP: Readonly<Record<string, [ProblemCode, string]>> = {
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['malformed_request', 'The chunk extensions are larger than 16 KiB'],
  HPE_INVALID_VERSION: ['http_version_not_supported', 'Only HTTP/1.1 and HTTP/1.0 are spoken here'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request did not arrive in time'],
};
/** A request line whose method is a token that HTTP does not know. */
const REQUEST_LINE = /^([\w!#$%&'*+.^`|~-]+) \S+ HTTP\/1\.[01]\r?\n/;
/** As much of an unknown method as is read. */
const METHOD_LENGTH_MAX = 40;
/** A request line that has not ended yet, after another request or at the start. */
const URL_UNDER_WAY = /(?:^|[\n}])[A-Z-]+ \S*$/;

function badHttp({ code = '', bytesParsed = 0, rawPacket }: BadHttp): ProblemError {
  const packet = Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1') : '';
  const parsed = packet.slice(0, bytesParsed);
  if (code === 'HPE_INVALID_METHOD') {
    const begun = /[\w!#$%&'*+.^`|~-]*$/.exec(parsed.slice(-METHOD_LENGTH_MAX))?.[0] ?? '';
    const method = REQUEST_LINE.exec(packet.slice(parsed.length - begun.length))?.[1];
    if (method !== undefined && method.length <= METHOD_LENGTH_MAX)
      return new ProblemError('not_implemented', `${method} is not known here`);
  }
  // Node bounds the request line and the headers together, and does not say in which of them the bound was passed.
  if (code === 'HPE_HEADER_OVERFLOW')
    return URL_UNDER_WAY.test(parsed)
      ? new ProblemError('uri_too_long', 'The URL is too long')
      : new ProblemError('headers_too_large', 'The headers are larger than 16 KiB');
  // Node also says so of a line that ends without a carriage return.
  if (
    code === 'HPE_INVALID_VERSION' &&
    / HTTP\/1\.[01]\r?\n/.test(packet.slice(Math.max(0, bytesParsed - 10), bytesParsed + 2))
  )
    return new ProblemError('malformed_request', 'Lines end with CR LF');
  const [problem, detail] = BAD_HTTP[code] ?? (['malformed_request', 'The request is not well-formed HTTP'] as const);
  return new ProblemError(problem, detail);
}
