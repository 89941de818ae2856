import { z } from 'zod';
import type { JsonSchema } from './compatibility.ts';
import { EventHeaders, LogCheckpoint } from './event-record.ts';
import { ORDER_EVENT_VERSIONS } from './event-versions.ts';

/**
 * What lies in the log, as JSON Schemas by name: the data of every type of event that was ever written, a record's headers,
 * and the checkpoints. They are committed in `schemas/`, for those who read the log without these libraries, and a test
 * compares what they say with what is there: see `breaks`.
 */
export function publishedSchemas(): Map<string, JsonSchema> {
  const schemas = new Map<string, JsonSchema>();
  for (const type of ORDER_EVENT_VERSIONS.types)
    schemas.set(type, jsonSchemaOf(ORDER_EVENT_VERSIONS.schemaOf(type) as z.ZodType));
  schemas.set('event-headers', jsonSchemaOf(EventHeaders));
  schemas.set('log-checkpoint', jsonSchemaOf(LogCheckpoint));
  return schemas;
}

/** As it is written, which is what others read; a header that is read as a number is text. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input' }) as JsonSchema;
}
