import { RpcException } from '@nestjs/microservices';

/**
 * The request was provably never handed to a channel, or the broker returned it because its queue does not exist, or the
 * service answered that nothing was done. It may be sent again as it is.
 */
export class NotTakenError extends Error {
  override readonly name = 'NotTakenError';
  /** How long a caller should wait before the next try. */
  readonly retryAfterMs: number;

  constructor(message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs ?? 1000;
  }
}

/**
 * The request was handed over and it is not known what became of it: no answer in time, the connection was lost, or the
 * service says so. A handler throws it when it does not know whether its own transaction was committed.
 */
export class OutcomeUnknownError extends RpcException {
  override readonly name = 'OutcomeUnknownError';

  constructor(message: string, options: { cause?: unknown } = {}) {
    super({ status: 'error', code: 'outcome_unknown', message } satisfies WireError);
    if (options.cause !== undefined) this.cause = options.cause;
  }
}

/** Thrown by a handler that did nothing, because something that it needs is away: the caller gets a `NotTakenError`. */
export class UnavailableError extends RpcException {
  override readonly name = 'UnavailableError';

  constructor(message: string, options: { cause?: unknown } = {}) {
    super({ status: 'error', code: 'unavailable', message } satisfies WireError);
    if (options.cause !== undefined) this.cause = options.cause;
  }
}

/** Thrown by a handler that did nothing, because the deadline had passed: the caller, if it still waits, gets a `NotTakenError`. */
export class ExpiredError extends RpcException {
  override readonly name = 'ExpiredError';

  constructor(message = 'The deadline had passed before it was done') {
    super({ status: 'error', code: 'expired', message } satisfies WireError);
  }
}

/** The service answered with an error. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  readonly code: WireErrorCode;
  /** What is wrong with the data, of an `invalid_message`. */
  readonly issues: readonly WireIssue[] | undefined;

  constructor(code: WireErrorCode, message: string, issues?: readonly WireIssue[]) {
    super(message);
    this.code = code;
    this.issues = issues;
  }
}

const CODES = ['invalid_message', 'unknown_pattern', 'unavailable', 'expired', 'outcome_unknown', 'internal'] as const;
export type WireErrorCode = (typeof CODES)[number];

/** One thing that is wrong with a message, and where in its data. */
export interface WireIssue {
  path: (string | number)[];
  message: string;
}

/** What stands under `err` in a reply. `status` is what stock Nest writes there. */
export interface WireError {
  status: 'error';
  code: WireErrorCode;
  message: string;
  issues?: WireIssue[];
}

/** A schema may find one problem per element of a large array; a caller needs the first of them. */
const ISSUES_MAX = 100;

/**
 * Makes the exception for data that breaks its schema: the `exceptionFactory` of Nest's `StandardSchemaValidationPipe`.
 * The caller gets a `RemoteError` of code `invalid_message` with the issues.
 */
export function invalidMessage(
  issues: readonly {
    readonly message: string;
    readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
  }[],
): RpcException {
  return new RpcException({
    status: 'error',
    code: 'invalid_message',
    message: 'The data of the message breaks its schema',
    issues: issues.slice(0, ISSUES_MAX).map(({ message, path = [] }) => ({
      message,
      path: path.map((segment) => {
        const key = typeof segment === 'object' ? segment.key : segment;
        return typeof key === 'symbol' ? String(key) : key;
      }),
    })),
  } satisfies WireError);
}

/**
 * The wire form of whatever a handler threw. Errors of the wire's shape pass through. Of anything else only the code
 * `internal` goes out: its message may name tables, files or people.
 */
export function toWireError(thrown: unknown): WireError {
  const error = thrown instanceof RpcException ? thrown.getError() : thrown;
  if (isWireError(error))
    return {
      status: 'error',
      code: error.code,
      message: error.message,
      ...(error.issues === undefined ? {} : { issues: error.issues }),
    };
  // Nest's own filter has made this of an exception: a text written for the caller, or 'Internal server error'.
  if (isNestError(error)) return { status: 'error', code: 'internal', message: error.message };
  return { status: 'error', code: 'internal', message: 'Internal server error' };
}

/** Whether `toWireError` hides what was thrown, so that it should be logged where it was thrown. */
export function isUnexpected(thrown: unknown): boolean {
  return !(thrown instanceof RpcException) && !isWireError(thrown) && !isNestError(thrown);
}

/** The exception that a caller gets for the `err` of a reply, of this server or of a stock one. */
export function toCallerError(error: unknown): NotTakenError | OutcomeUnknownError | RemoteError {
  // A stock server sends a bare text when it knows no handler, and `{ status, message }` when one threw.
  if (!isWireError(error)) {
    const message = typeof error === 'string' ? error : isNestError(error) ? error.message : 'The service failed';
    return new RemoteError('internal', message);
  }
  switch (error.code) {
    case 'unavailable':
    case 'expired':
      return new NotTakenError(error.message);
    case 'outcome_unknown':
      return new OutcomeUnknownError(error.message);
    default:
      return new RemoteError(error.code, error.message, error.issues);
  }
}

function isWireError(value: unknown): value is WireError {
  return (
    isNestError(value) &&
    'code' in value &&
    (CODES as readonly unknown[]).includes(value.code) &&
    (!('issues' in value) || value.issues === undefined || Array.isArray(value.issues))
  );
}

function isNestError(value: unknown): value is { status: 'error'; message: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'status' in value &&
    value.status === 'error' &&
    'message' in value &&
    typeof value.message === 'string'
  );
}
