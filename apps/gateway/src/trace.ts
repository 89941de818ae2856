import { randomUUID } from 'node:crypto';

/**
 * A `traceparent` of version 00, or of a later one, which begins as version 00 does: trace id, parent id, flags. Neither id is
 * all zeros, and version ff is none.
 */
const TRACEPARENT =
  /^(?:00(?=.{53}$)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?$/;
/** What W3C Trace Context wants to be passed on at least, in characters. */
const TRACESTATE_LENGTH_MAX = 512;
const TRACESTATE = /^[\x20-\x7e\t]*$/;
const REQUEST_ID = /^[\w.:/+=@~-]{1,128}$/;
const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;

/** The caller's own id of a request if it is a sane one, else a new one that serves as trace id, too. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : hex32();
}

/** W3C Trace Context of what is done for a request. */
export interface Trace {
  traceparent: string;
  /** What the systems before this one have to say to those after it. */
  tracestate?: string;
}

/**
 * A new span in the caller's trace, or in a new one. Of the flags only `sampled` is known here, and others are not passed on; nor
 * is a `tracestate` without the trace that it belongs to.
 *
 * @see https://www.w3.org/TR/trace-context/
 */
export function traceOf(request: { id: string; headers: NodeJS.Dict<string | string[]> }): Trace {
  const { traceparent, tracestate } = request.headers;
  const caller = typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent) : null;
  if (caller === null) return newTrace(request.id);
  const [, trace = '', flags = ''] = caller;
  const ours = { traceparent: traceparentOf(trace, parseInt(flags, 16) & 1) };
  if (typeof tracestate !== 'string' || tracestate.length > TRACESTATE_LENGTH_MAX || !TRACESTATE.test(tracestate))
    return ours;
  return { ...ours, tracestate };
}

/** A new trace, named like the request if that has such an id. */
export const newTrace = (requestId = ''): Trace => ({
  traceparent: traceparentOf(TRACE_ID.test(requestId) ? requestId : hex32(), 1),
});

// The last 16 digits of a UUID of version 4 begin with its variant, so they are never all zeros.
const traceparentOf = (trace: string, sampled: number) => `00-${trace}-${hex32().slice(16)}-0${sampled}`;

const hex32 = () => randomUUID().replaceAll('-', '');
