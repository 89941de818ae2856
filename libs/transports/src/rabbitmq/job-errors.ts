import { RpcException } from '@nestjs/microservices';

/** What a handler of jobs throws. Nest's filters take an RpcException for what it holds, so each of these holds itself. */
export abstract class JobError extends RpcException {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message);
    this.message = message;
    if (options.cause !== undefined) this.cause = options.cause;
  }

  override getError(): this {
    return this;
  }
}

/** The attempt failed, and a later one may not: the job waits, and is parked after the last attempt. */
export class JobFailedError extends JobError {
  override readonly name = 'JobFailedError';
}

/** Nothing was tried, because what the job needs is away: it goes back to its queue, and no attempt is counted. */
export class JobNotStartedError extends JobError {
  override readonly name = 'JobNotStartedError';
}

/** It is too early for an attempt: the job waits for about as long as it says, and no attempt is counted. */
export class JobDeferredError extends JobError {
  override readonly name = 'JobDeferredError';

  constructor(
    message: string,
    readonly waitMs: number,
    options: { cause?: unknown } = {},
  ) {
    super(message, options);
  }
}

/** No later attempt can succeed: the job is parked at once. */
export class JobHopelessError extends JobError {
  override readonly name = 'JobHopelessError';
}
