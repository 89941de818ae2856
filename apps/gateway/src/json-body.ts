import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ProblemError } from './problem.ts';

/** Content types of JSON in the one encoding that JSON has (RFC 8259, section 8.1). */
const JSON_IN_UTF8 = /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?\s*$/i;

/**
 * Makes JSON the only content type that is read. An empty body counts as none, text that is not UTF-8 is refused instead
 * of being mended, and so is a key named `__proto__`, which would otherwise vanish unseen.
 */
export function readJsonBodies(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser('error', 'error') as (
    request: FastifyRequest,
    text: string,
    done: (error: Error | null, value?: unknown) => void,
  ) => void;
  server.removeAllContentTypeParsers();
  server.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const { 'content-type': type = '', 'content-encoding': encoding } = request.headers;
    if (!JSON_IN_UTF8.test(type)) return done(new ProblemError('unsupported_media_type', `${type} is not read here`));
    if (encoding !== undefined && encoding !== 'identity')
      return done(new ProblemError('unsupported_media_type', `Content-Encoding ${encoding} is not read here`));
    if (body.length === 0) return done(null, undefined);
    if (!isUtf8(body)) return done(new ProblemError('invalid_json', 'The body is not UTF-8'));
    const text = body.toString();
    parse(request, text, (error, value) =>
      error === null ? done(null, value) : done(new ProblemError('invalid_json', reasonOf(text), { cause: error })),
    );
  });
}

/** Fastify's parser has one message for all that it refuses. */
function reasonOf(text: string): string {
  try {
    JSON.parse(text);
    return 'The body has a key named __proto__, or one named constructor that holds prototype';
  } catch (error) {
    return `The body is not JSON: ${(error as SyntaxError).message}`;
  }
}
