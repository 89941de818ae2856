import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import { NotTakenError, RemoteError } from '@tandem/transports/rabbitmq/errors';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { jsonPointer } from './contract.pipe.ts';
import { NOTHING_DONE, ProblemError, retryAfter } from './problem.ts';

const logger = new Logger('Gateway');

/** How long a caller should wait for the next instance to be replaced. */
const ROLLOUT_RETRY_MS = 5_000;
/** A caller learns enough from the first of them. */
const ERRORS_MAX = 50;

/** The methods of a path, if there is anything at that path at all. */
export type MethodsOf = (path: string) => readonly string[];

/** Turns whatever ends a request, thrown by a handler or by Fastify before there was one, into a problem document. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly methodsOf: MethodsOf) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    if (reply.sent) return logger.error('An error after the answer was sent', exception);
    sendProblem(toProblemError(exception, request, this.methodsOf), request, reply);
  }
}

/** Sends the document; failures on this side are logged with the request's id. */
export function sendProblem(problem: ProblemError, request: FastifyRequest, reply: FastifyReply): void {
  if (problem.code === 'internal')
    logger.error({ msg: 'A request failed', requestId: request.id, url: request.url, err: problem.cause });
  else if (problem.status >= 500) {
    const line = { msg: problem.message, code: problem.code, requestId: request.id, url: request.url };
    // In an outage of RabbitMQ each request is one of these; readiness says so once.
    if (problem.status === 503 && problem.code !== 'version_differs') logger.debug(line);
    else logger.warn(line);
  }
  void reply
    .code(problem.status)
    .headers({ ...problem.headers, 'cache-control': 'no-store', 'x-request-id': request.id })
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify(problem.toProblem(request.id)));
}

/** The problem that an exception amounts to. Only what was written for callers goes out; of the rest, that it failed. */
export function toProblemError(exception: unknown, request: FastifyRequest, methodsOf?: MethodsOf): ProblemError {
  if (exception instanceof ProblemError) return exception;
  if (exception instanceof NotTakenError)
    return new ProblemError('unavailable', `${NOTHING_DONE}: what carries the request out cannot take it now`, {
      headers: retryAfter(exception.retryAfterMs),
      cause: exception,
    });
  if (
    exception instanceof RemoteError &&
    (exception.code === 'invalid_message' || exception.code === 'unknown_pattern')
  )
    return notUnderstood(exception);
  // Nest wraps what Fastify refuses; the code that tells one from the other is in the cause.
  const error = exception instanceof HttpException && exception.cause !== undefined ? exception.cause : exception;
  if (error instanceof ProblemError) return error;
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ECONNRESET':
      return new ProblemError('malformed_request', 'The connection ended before the request did');
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ProblemError('body_too_large', `A body may have ${request.routeOptions.bodyLimit} bytes`);
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ProblemError(
        'unsupported_media_type',
        `${request.headers['content-type'] ?? 'A body without a type'} is not read here`,
      );
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new ProblemError('malformed_request', 'The body is not as long as its Content-Length');
    case 'FST_ERR_BAD_URL':
      return new ProblemError('malformed_request', 'The path is not well-formed');
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new ProblemError('uri_too_long', 'A part of the path is too long');
  }
  // What serves the pages of the documentation has statuses, and no codes.
  switch (exception instanceof HttpException ? exception.getStatus() : statusOf(error)) {
    case 403:
    case 404:
      return notFound(request, methodsOf);
    case 412:
      return new ProblemError('precondition_failed', 'A condition does not hold for what is at this path');
  }
  return new ProblemError('internal', 'The request failed on this side', { cause: exception });
}

/**
 * What holds to this gateway's contract and breaks that of the service is of another version: nothing was done, and it can be
 * done once both are of the same.
 */
function notUnderstood(error: RemoteError): ProblemError {
  const errors = (error.issues ?? []).slice(0, ERRORS_MAX).map(({ path, message }) => {
    const [first, ...place] = path;
    return { ...(first === 'body' ? { pointer: jsonPointer(place) } : {}), detail: message };
  });
  const [first] = errors;
  const detail = `${NOTHING_DONE}: another service does not understand this${first === undefined ? '' : `: ${first.detail}`}`;
  return new ProblemError('version_differs', detail, {
    members: errors.length === 0 ? {} : { errors },
    headers: retryAfter(ROLLOUT_RETRY_MS),
    cause: error,
  });
}

const statusOf = (error: unknown) =>
  typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : undefined;

function decoded(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

/** Nothing at this path, or nothing for this method. */
export function notFound(request: FastifyRequest, methodsOf: MethodsOf | undefined): ProblemError {
  const path = request.url.split('?', 1)[0] ?? '/';
  // The router decodes paths, too.
  const methods = methodsOf?.(decoded(path)) ?? [];
  if (methods.length === 0) return new ProblemError('route_not_found', `There is nothing at ${path}`);
  return new ProblemError('method_not_allowed', `${path} does not take ${request.method}`, {
    headers: { allow: methods.join(', ') },
  });
}
