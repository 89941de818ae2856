import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import { invalidMessage } from './errors.ts';

/**
 * Holds the data of a message to the schema given with `@Payload({ schema })` and hands on what the schema makes of it; an
 * RpcException of code `invalid_message` tells what is wrong.
 *
 * Nest's own StandardSchemaValidationPipe walks every value once more to delete keys named `__proto__`. That is for schemas
 * that keep unknown keys. Strict objects refuse such a key, and records leave it out.
 */
export class MessagePipe implements PipeTransform {
  transform(value: unknown, { schema }: ArgumentMetadata): unknown {
    if (schema === undefined) return value;
    const result = schema['~standard'].validate(value);
    return result instanceof Promise ? result.then(accepted) : accepted(result);
  }
}

type Result = Awaited<ReturnType<NonNullable<ArgumentMetadata['schema']>['~standard']['validate']>>;

function accepted(result: Result): unknown {
  if (result.issues !== undefined) throw invalidMessage(result.issues);
  return result.value;
}
