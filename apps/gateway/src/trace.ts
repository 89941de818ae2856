import { randomUUID } from 'node:crypto';

/** W3C Trace Context, level 1: version 00, trace id, parent id, flags. Neither id is all zeros. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;
const REQUEST_ID = /^[\w.:/+=@~-]{1,128}$/;
const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;

/** The caller's own id of a request if it is a sane one, else a new one that serves as trace id, too. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : hex32();
}

/**
 * The `traceparent` that goes with what is done for a request: a new span in the caller's trace, or in a new trace.
 *
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 */
export function traceparentOf(header: string | string[] | undefined, requestId: string): string {
  const caller = typeof header === 'string' ? TRACEPARENT.exec(header) : null;
  const trace = caller?.[1] ?? (TRACE_ID.test(requestId) ? requestId : hex32());
  // The last 16 digits of a UUID of version 4 begin with its variant, so they are never all zeros.
  return `00-${trace}-${hex32().slice(16)}-${caller?.[2] ?? '01'}`;
}

const hex32 = () => randomUUID().replaceAll('-', '');

/** `traceparentOf` of a request. */
export const traceOf = (request: { id: string; headers: NodeJS.Dict<string | string[]> }): string =>
  traceparentOf(request.headers['traceparent'], request.id);
