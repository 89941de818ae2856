import type { FastifyReply, FastifyRequest } from 'fastify';
import { subjectOf } from '../subject.ts';
import { traceOf } from '../trace.ts';
import { commandIdOf, idempotencyKeyOf } from './idempotency.ts';

/** What identifies and accompanies a command. Its key goes into the answer, whatever the answer will be. */
export function prepare(request: FastifyRequest, reply: FastifyReply, operation: string, orderId = '') {
  const key = idempotencyKeyOf(request.headers['idempotency-key']);
  reply.header('idempotency-key', key);
  return { commandId: commandIdOf(subjectOf(request), operation, orderId, key), key, traceparent: traceOf(request) };
}
