import { applyDecorators } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiParam, ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';
import { Problem, PROBLEMS, type ProblemCode, type ProblemError } from './problem.ts';

/** The order and the request that the examples are about. */
export const EXAMPLE_ORDER_ID = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';
const EXAMPLE_REQUEST_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

/**
 * The request that an answer is an example of. It stands beside the answer in the document, as `x-request`, so that every
 * example can be sent. What the path names is the order placed by the last `placeOrder` of `before`, unless `id` says.
 */
export interface ExampleRequest {
  /** Sent first, in this order; their answers must be successes. */
  before?: (Omit<ExampleRequest, 'before'> & {
    operationId: string;
    /** What the order must have come to before the next is sent. */
    until?: 'paid';
  })[];
  id?: string;
  /** Put on the queue of commands as a message that nobody answers; the path names the parked message then. */
  parks?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** Sent as JSON; a text is sent as it is. */
  body?: unknown;
}

/** An answer as it is sent, and the request that leads to it. */
export interface Example {
  summary: string;
  request: ExampleRequest;
  value: unknown;
}

interface Operation {
  id: string;
  tag: string;
  summary: string;
  description?: string;
  /** Request headers, by name. */
  headers?: Record<string, { description: string; example: string }>;
  /** The first is what examples of other operations send before theirs. */
  body?: Record<string, { summary: string; value: unknown }>;
  bodyRequired?: boolean;
  /** What the path names: its `id` unless said otherwise, which is an order's unless described. */
  path?: { example: string; name?: string; description?: string };
  success: {
    status: number;
    description: string;
    schema: z.ZodType;
    headers?: Record<string, string>;
    examples: Record<string, Example>;
  };
  /** Answers without a body, by status. */
  empty?: Record<number, string>;
  problems: Partial<Record<ProblemCode, Record<string, Example>>>;
}

/** What everything under `/v1` may answer, apart from what an operation says itself. */
const EVERYWHERE = ['invalid_request', 'internal', 'unavailable', 'version_differs'] as const satisfies ProblemCode[];
const WITH_BODY = ['invalid_json', 'body_too_large', 'unsupported_media_type'] as const satisfies ProblemCode[];

/** Puts an operation into the OpenAPI document; path, parameters and body's schema come from the method it stands on. */
export function documented(operation: Operation): MethodDecorator {
  const { success, body, headers = {}, empty = {} } = operation;
  const description = operation.description === undefined ? {} : { description: operation.description };
  const decorators = [
    ApiOperation({ operationId: operation.id, summary: operation.summary, tags: [operation.tag], ...description }),
    ApiResponse({
      status: success.status,
      description: success.description,
      standardSchema: success.schema,
      headers: responseHeaders(success.headers ?? {}),
      examples: examplesOf(success.examples),
    } as Parameters<typeof ApiResponse>[0]),
    ...Object.entries(empty).map(([status, text]) =>
      ApiResponse({ status: Number(status), description: text, headers: responseHeaders(success.headers ?? {}) }),
    ),
    ...problemResponses(operation),
    ApiResponse({
      status: 'default',
      description: 'Any other problem, such as 404, 405, 408, 414 or 431, which come before the operation is reached.',
      standardSchema: Problem,
    } as Parameters<typeof ApiResponse>[0]),
    ...Object.entries(headers).map(([name, header]) => ApiHeader({ name, required: false, ...header })),
  ];
  if (operation.path !== undefined)
    decorators.push(ApiParam({ name: 'id', description: 'The order', ...operation.path }));
  if (body !== undefined)
    decorators.push(
      ApiBody({ required: operation.bodyRequired ?? true, examples: body } as Parameters<typeof ApiBody>[0]),
    );
  return applyDecorators(...decorators);
}

/** One response per status, which names every code that the status may come with. */
function problemResponses(operation: Operation): MethodDecorator[] {
  const codes = new Set<ProblemCode>([...EVERYWHERE, ...(operation.body === undefined ? [] : WITH_BODY)]);
  for (const code of Object.keys(operation.problems) as ProblemCode[]) codes.add(code);
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  return [...byStatus].map(([status, codesOfIt]) => {
    const examples = Object.assign({}, ...codesOfIt.map((code) => operation.problems[code] ?? {}));
    return ApiResponse({
      status,
      description: codesOfIt.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
      standardSchema: Problem,
      headers: responseHeaders(status === 503 ? { 'Retry-After': 'Seconds to wait before the next try' } : {}),
      ...(Object.keys(examples).length === 0 ? {} : { examples: examplesOf(examples) }),
    } as Parameters<typeof ApiResponse>[0]);
  });
}

/** An example of a problem, written by the very code that answers with it. */
export function problemExample(summary: string, request: ExampleRequest, problem: ProblemError): Example {
  return { summary, request, value: problem.toProblem(EXAMPLE_REQUEST_ID) };
}

const examplesOf = (examples: Record<string, Example>) =>
  Object.fromEntries(
    Object.entries(examples).map(([name, { summary, request, value }]) => [
      name,
      { summary, value, 'x-request': request },
    ]),
  );

const responseHeaders = (headers: Record<string, string>) =>
  Object.fromEntries(
    Object.entries({ 'X-Request-Id': 'The id of the request, the caller’s own if it sent one', ...headers }).map(
      ([name, description]) => [name, { description, schema: { type: 'string' } }],
    ),
  );
