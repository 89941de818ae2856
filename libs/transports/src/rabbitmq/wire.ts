import { isUtf8 } from 'node:buffer';

/** Several requests of one client, or several answers to it, in one message: `{ "items": [ … ] }`. */
export const BATCH_CONTENT_TYPE = 'application/vnd.tandem.batch+json';

/** The most items that one message may hold. */
export const BATCH_ITEMS_MAX = 64;
/** A batch is closed before it grows past this; one item that is larger travels alone. */
export const BATCH_BYTES_MAX = 262_144;
/** A larger message is not read, it is parked. */
export const MESSAGE_BYTES_MAX = 1_048_576;

/** Headers of requests and of answers: when they were sent, in milliseconds by the clock that the service's instances share. */
export const SENT_AT = 'x-sent-at';
export const ANSWERED_AT = 'x-answered-at';

/** Ids are echoed in answers and kept in maps, so they have a limit. */
const ID_LENGTH_MAX = 128;

/** What a W3C trace context is made of, as long as an event may carry it on. */
const TRACEPARENT = /^[ -~]{1,64}$/;
const TRACESTATE = /^[\t -~]{1,512}$/;

/** One request, out of a message of its own or out of a batch. */
export interface RequestItem {
  id: string;
  pattern: string;
  data: unknown;
  /** How long the caller waits from now on, if it says so. */
  deadlineMs: number | undefined;
  /** W3C trace context. */
  traceparent: string | undefined;
  tracestate: string | undefined;
}

/** An item of a batch that cannot be run. Without an id nobody can be told. */
export interface BadItem {
  id: string | undefined;
  reason: string;
  content: unknown;
}

export type Reading = { items: (RequestItem | BadItem)[] } | { unreadable: string };

export interface ReadableMessage {
  content: Buffer;
  properties: {
    contentType?: unknown;
    correlationId?: unknown;
    headers?: Record<string, unknown> | undefined;
  };
}

/** Reads a request, coalesced or as stock Nest and plain amqplib send it. Never throws: what is wrong is in the result. */
export function readRequest(message: ReadableMessage): Reading {
  if (message.content.length > MESSAGE_BYTES_MAX)
    return { unreadable: `${message.content.length} bytes, more than ${MESSAGE_BYTES_MAX}` };
  const body = parseJson(message.content);
  if (body === undefined) return { unreadable: 'not JSON in UTF-8' };
  if (!isRecord(body)) return { unreadable: 'not an object' };
  return message.properties.contentType === BATCH_CONTENT_TYPE ? readBatch(body) : readSingle(body, message);
}

function readBatch(body: Record<string, unknown>): Reading {
  const { items } = body;
  if (!Array.isArray(items)) return { unreadable: 'a batch without items' };
  if (items.length === 0) return { unreadable: 'a batch of no items' };
  if (items.length > BATCH_ITEMS_MAX) return { unreadable: `${items.length} items, more than ${BATCH_ITEMS_MAX}` };
  return { items: items.map(readItem) };
}

function readItem(item: unknown): RequestItem | BadItem {
  if (!isRecord(item)) return { id: undefined, reason: 'an item that is not an object', content: item };
  const id = readId(item['id']);
  if (id === undefined) return { id: undefined, reason: 'an item without an id', content: item };
  const { pattern, data, deadlineMs, traceparent, tracestate } = item;
  if (!isPattern(pattern)) return { id, reason: 'an item without a pattern', content: item };
  if (deadlineMs !== undefined && !isDuration(deadlineMs))
    return { id, reason: 'deadlineMs is no number', content: item };
  return {
    id,
    pattern: patternText(pattern),
    data,
    deadlineMs,
    traceparent: readTraceparent(traceparent),
    tracestate: readTracestate(tracestate),
  };
}

function readSingle(body: Record<string, unknown>, { properties }: ReadableMessage): Reading {
  const { pattern, data } = body;
  if (!isPattern(pattern)) return { unreadable: 'no pattern' };
  const headers = properties.headers ?? {};
  const deadline = headers['x-deadline-ms'];
  const deadlineMs = deadline === undefined ? undefined : readNumber(deadline);
  if (deadlineMs !== undefined && !isDuration(deadlineMs)) return { unreadable: 'x-deadline-ms is no number' };
  return {
    items: [
      {
        // Stock clients send an id, plain amqplib may send none: its correlation id does as well.
        id: readId(body['id']) ?? readId(properties.correlationId) ?? '',
        pattern: patternText(pattern),
        data,
        deadlineMs,
        traceparent: readTraceparent(headers['traceparent']),
        tracestate: readTracestate(headers['tracestate']),
      },
    ],
  };
}

/** One answer as it was read from a reply. */
export interface ReplyItem {
  id: string | undefined;
  /** False when the answer has neither the shape of an answer nor of an error. */
  wellFormed: boolean;
  response: unknown;
  err: unknown;
}

/** Reads a reply, coalesced or as stock Nest sends it; undefined when nothing in it can be read. */
export function readReply(message: ReadableMessage): ReplyItem[] | undefined {
  const { correlationId, contentType } = message.properties;
  const body = parseJson(message.content);
  if (contentType !== BATCH_CONTENT_TYPE) return [readAnswer(body, readId(correlationId))];
  if (!isRecord(body) || !Array.isArray(body['items'])) return undefined;
  return body['items'].map((item: unknown) => readAnswer(item, isRecord(item) ? readId(item['id']) : undefined));
}

function readAnswer(answer: unknown, id: string | undefined): ReplyItem {
  if (!isRecord(answer)) return { id, wellFormed: false, response: undefined, err: undefined };
  const { response, err, isDisposed } = answer;
  // An error, an answer, or stock Nest's word that there is none.
  const wellFormed = (err !== undefined && err !== null) || response !== undefined || isDisposed === true;
  return { id, wellFormed, response, err: err ?? undefined };
}

/** The ids of the requests in a message that the broker returned. */
export function idsOf(message: ReadableMessage): string[] {
  if (message.properties.contentType !== BATCH_CONTENT_TYPE) {
    const id = readId(message.properties.correlationId);
    return id === undefined ? [] : [id];
  }
  const reading = readRequest(message);
  return 'items' in reading ? reading.items.flatMap(({ id }) => id ?? []) : [];
}

/** Cuts a list into batches of consecutive entries that respect both limits; an entry above the second stands alone. */
export function batches<T extends { bytes: number }>(entries: readonly T[], itemsMax: number, bytesMax: number): T[][] {
  const cut: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const entry of entries) {
    if (batch.length > 0 && (batch.length >= itemsMax || bytes + entry.bytes > bytesMax)) {
      cut.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(entry);
    bytes += entry.bytes;
  }
  if (batch.length > 0) cut.push(batch);
  return cut;
}

/** The body of a batch out of the JSON texts of its items, which are not parsed or stringified again. */
export function batchBody(items: readonly string[]): Buffer {
  return Buffer.from(`{"items":[${items.join(',')}]}`);
}

function parseJson(content: Buffer): unknown {
  // Bytes that are no UTF-8 would be replaced silently, and a changed text stored.
  if (!isUtf8(content)) return undefined;
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readId(id: unknown): string | undefined {
  if (typeof id === 'string' && id.length > 0 && id.length <= ID_LENGTH_MAX) return id;
  return typeof id === 'number' ? String(id) : undefined;
}

/** The trace that a header or an item names; undefined for what could not be stored, or would make an event unreadable. */
export function readTraceparent(value: unknown): string | undefined {
  return typeof value === 'string' && TRACEPARENT.test(value) ? value : undefined;
}

function readTracestate(value: unknown): string | undefined {
  return typeof value === 'string' && TRACESTATE.test(value) ? value : undefined;
}

/** A number as a header may hold it; NaN for anything else. Of an object, `Number` throws when it cannot be converted. */
export function readNumber(value: unknown): number {
  return typeof value === 'number' || typeof value === 'string' ? Number(value) : NaN;
}

/** Nest allows an object as a pattern. */
function isPattern(pattern: unknown): pattern is string | number | Record<string, unknown> {
  return typeof pattern === 'string' || typeof pattern === 'number' || isRecord(pattern);
}

function patternText(pattern: string | number | Record<string, unknown>): string {
  if (typeof pattern === 'string') return pattern;
  try {
    return JSON.stringify(pattern);
  } catch {
    // Nested too deep to be written; no handler has such a pattern.
    return '[unserialisable]';
  }
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
