import { Catch, type RpcExceptionFilter } from '@nestjs/common';
import { throwError, type Observable } from 'rxjs';

/**
 * For handlers of a `KafkaBatchServer`: passes what was thrown on to the server as it is. Without it Nest logs the error and
 * hands on "Internal server error", and readiness could not say why a partition is held back.
 */
@Catch()
export class BatchFailureFilter implements RpcExceptionFilter {
  catch(exception: unknown): Observable<never> {
    return throwError(() => exception);
  }
}
