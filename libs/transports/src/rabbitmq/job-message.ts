import { isUtf8 } from 'node:buffer';
import { storableText } from '@tandem/contracts/text';
import type { Options } from 'amqplib';
import { MESSAGE_BYTES_MAX, readNumber } from './wire.ts';

/** Work for one of several workers. */
export interface Job {
  /** Which handler runs it; the routing key. */
  kind: string;
  /** Names what is to be done: the same job published twice has the same key. */
  key: string;
  data: unknown;
  /** What the queue is chosen by. */
  headers: Readonly<Record<string, string>>;
  /** W3C trace context of what made the job. */
  traceparent?: string | undefined;
}

/** What the headers of a job say of its past. */
export interface Attempts {
  /** 1 for the first. */
  attempt: number;
  /** When the first one failed, RFC 3339; undefined before. */
  firstFailedAt: string | undefined;
  /** Why the last one failed. */
  lastFailure: string | undefined;
}

export const ATTEMPT = 'x-attempt';
export const FIRST_FAILED_AT = 'x-first-failed-at';
export const LAST_FAILURE = 'x-last-failure';

/** Headers have to fit into one frame. */
const FAILURE_LENGTH_MAX = 500;

/** The message of a job, in the shape that Nest gives to events. */
export function writeJob(job: Job): { content: Buffer; options: Options.Publish } {
  const { kind, key, data, headers, traceparent } = job;
  return {
    content: Buffer.from(JSON.stringify({ pattern: kind, data })),
    options: {
      messageId: key,
      contentType: 'application/json',
      timestamp: Date.now(),
      headers: { ...headers, ...(traceparent === undefined ? {} : { traceparent }) },
    },
  };
}

/** Reads a job; undefined when it is none. Never throws. */
export function readJob(content: Buffer): { kind: string; data: unknown } | undefined {
  if (content.length > MESSAGE_BYTES_MAX || !isUtf8(content)) return undefined;
  try {
    const body = JSON.parse(content.toString('utf8')) as { pattern?: unknown; data?: unknown } | null;
    return typeof body?.pattern === 'string' ? { kind: body.pattern, data: body.data } : undefined;
  } catch {
    return undefined;
  }
}

export function readAttempts(headers: Record<string, unknown> = {}): Attempts {
  const attempt = readNumber(headers[ATTEMPT] ?? 1);
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
  return {
    attempt: Number.isInteger(attempt) && attempt > 0 ? attempt : 1,
    firstFailedAt: text(headers[FIRST_FAILED_AT]),
    lastFailure: text(headers[LAST_FAILURE]),
  };
}

/** The past of a job after an attempt that failed. */
export function attemptsAfter(attempts: Attempts, failure: string, now: Date): Attempts {
  const { attempt, firstFailedAt = now.toISOString() } = attempts;
  return { attempt: attempt + 1, firstFailedAt, lastFailure: storableText(failure, FAILURE_LENGTH_MAX) };
}

/**
 * The headers of a job that is published again with this past. What the broker wrote of earlier waits is left out: it drops a
 * message that seems to go in circles (https://www.rabbitmq.com/docs/dlx#routing).
 */
export function headersWith(headers: Record<string, unknown>, { attempt, firstFailedAt, lastFailure }: Attempts) {
  return {
    ...Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('x-'))),
    ...(attempt > 1 && { [ATTEMPT]: attempt }),
    ...(firstFailedAt !== undefined && { [FIRST_FAILED_AT]: firstFailedAt }),
    ...(lastFailure !== undefined && { [LAST_FAILURE]: lastFailure }),
  };
}

/**
 * Which wait follows a failed attempt: the n-th or its longer neighbour, so that jobs that failed together do not come
 * back together.
 *
 * @param random from 0 up to 1.
 */
export function waitAfter(attempt: number, waits: number, random: number): number {
  return Math.min(attempt - 1 + Math.floor(random * 2), waits - 1);
}
