import { type ArgumentMetadata, type PipeTransform } from '@nestjs/common';
import type { z } from 'zod';
import { issueText } from './issue-text.ts';
import { ERRORS_MAX, invalidRequest, type RequestError } from './problem.ts';

/**
 * Holds body, query and path to the schema given with `@Body({ schema })`, `@Query({ schema })`, `@Param(name, { schema })`
 * and hands on what the schema makes of them; a body as it was sent, because whoever carries it out fills in its defaults: so
 * a service of an earlier version never gets a field that its caller has not sent. Unlike Nest's own pipe it knows what it looks at, so that the problem can
 * point there: a JSON pointer into the body, or a parameter's name.
 */
export class ContractPipe implements PipeTransform {
  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    const schema = metadata.schema as z.ZodType | undefined;
    if (schema === undefined) return value;
    const isBody = metadata.type === 'body';
    // A request without a body, or with an empty one, is as good as one with {}.
    const sent = value === undefined && isBody ? {} : value;
    const parsed = schema.safeParse(sent, { reportInput: true });
    if (parsed.success) return isBody ? sent : parsed.data;
    throw invalidRequest(errorsOf(parsed.error.issues, metadata));
  }
}

function errorsOf(issues: readonly z.core.$ZodIssue[], metadata: ArgumentMetadata): RequestError[] {
  // The first error of a place: a text that is too short breaks its pattern as well.
  const errors = new Map<string, RequestError>();
  for (const issue of issues) {
    // Each unknown field is an error of its own, at its own place.
    const places = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
    const detail =
      issue.code !== 'unrecognized_keys'
        ? issueText(issue)
        : `is not a ${metadata.type === 'body' ? 'field' : 'parameter'} of this request`;
    for (const path of places) {
      const pointer = jsonPointer(path);
      if (!errors.has(pointer)) errors.set(pointer, { ...placeOf(path, metadata), detail });
    }
  }
  return [...errors.values()].slice(0, ERRORS_MAX);
}

function placeOf(
  path: readonly PropertyKey[],
  metadata: ArgumentMetadata,
): { pointer: string } | { parameter: string } {
  if (metadata.type === 'body') return { pointer: jsonPointer(path) };
  return { parameter: metadata.data ?? path.map(String).join('.') };
}

/** RFC 6901. The whole document is the empty text. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
