import type { FastifyReply, FastifyRequest } from 'fastify';
import { subjectOf } from '../subject.ts';
import { traceOf } from '../trace.ts';
import { commandIdOf, idempotencyKeyOf } from './idempotency.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether a command must bring an `Idempotency-Key`. */
    keyRequired: boolean;
  }
}

/** What identifies and accompanies a command. Its key goes into the answer, whatever the answer will be. */
export function prepare(request: FastifyRequest, reply: FastifyReply, operation: string, orderId = '') {
  const key = idempotencyKeyOf(request.headers['idempotency-key'], request.keyRequired);
  reply.header('idempotency-key', key);
  const mayRepeat = request.headers['idempotency-key'] !== undefined;
  const commandId = commandIdOf(subjectOf(request), operation, orderId, key);
  return { commandId, key, trace: traceOf(request), mayRepeat };
}
