import { type ArgumentsHost, Catch } from '@nestjs/common';
import { BaseRpcExceptionFilter } from '@nestjs/microservices';
import { UncertainCommitError } from '@tandem/postgres/durable';
import { isConnectionLost, isNotDone } from '@tandem/postgres/errors';
import { OutcomeUnknownError, UnavailableError } from './errors.ts';

/**
 * Tells whoever asked that the database is away: that nothing was done, or, where something is changed and the connection was
 * lost on the way, that it is not known. Anything else that a handler throws goes its usual way.
 */
@Catch()
export class DatabaseFailureFilter extends BaseRpcExceptionFilter {
  readonly #changes: boolean;

  /** @param handles whether the handler changes something, or only reads. */
  constructor(handles: 'reads' | 'changes') {
    super();
    this.#changes = handles === 'changes';
  }

  override catch(exception: unknown, host: ArgumentsHost) {
    return super.catch(this.#told(exception), host);
  }

  #told(cause: unknown): unknown {
    if (cause instanceof UncertainCommitError)
      return new OutcomeUnknownError('It is not known whether the standby has it', { cause });
    if (isNotDone(cause)) return new UnavailableError('The database cannot do it now', { cause });
    if (!isConnectionLost(cause)) return cause;
    return this.#changes
      ? new OutcomeUnknownError('The connection to the database was lost', { cause })
      : new UnavailableError('The database is away', { cause });
  }
}
