import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { jsonPointer } from './contract.pipe.ts';
import { ERRORS_MAX, invalidRequest, ProblemError, type RequestError } from './problem.ts';

const TOKEN = "[\\w!#$%&'*+.^`|~-]+";
/** Media types with parameters (RFC 9110, section 8.3.1), of JSON. */
const JSON_TYPE = new RegExp(
  `^application/json[ \\t]*(?:;[ \\t]*(?:${TOKEN}=(?:${TOKEN}|"(?:[^"\\\\]|\\\\.)*")[ \\t]*)?)*$`,
  'i',
);
const PARAMETER = new RegExp(`;[ \\t]*(${TOKEN})=(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))`, 'g');

type Done = (error: Error | null, value?: unknown) => void;

/**
 * Makes JSON the only content type that is read. An empty body counts as none, whatever its type; text that is not UTF-8 is
 * refused instead of being mended, and so is what would vanish or change unseen when it is parsed.
 */
export function readJsonBodies(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    try {
      expectPlainJson(request);
      done(null, parseJson(body));
    } catch (error) {
      done(error as Error);
    }
  });
  server.addContentTypeParser('*', (request, payload, done: Done) => {
    const { 'content-length': length, 'content-type': type } = request.headers;
    const refusal = () =>
      new ProblemError('unsupported_media_type', `${type ?? 'A body without a type'} is not read here`);
    // Refused as soon as it is known that there is a body, not when all of it has come.
    if (length !== undefined) return Number(length) === 0 ? done(null, undefined) : done(refusal());
    let settled = false;
    const settle = (...result: Parameters<Done>) => {
      if (!settled) done(...result);
      settled = true;
    };
    payload.on('data', () => settle(refusal()));
    payload.on('end', () => settle(null, undefined));
    payload.on('error', (error: Error) => settle(error));
  });
}

/** @throws ProblemError 415 for a charset that JSON does not have (RFC 8259, section 8.1), or a coding. */
function expectPlainJson({ headers }: FastifyRequest): void {
  const { 'content-type': type = '', 'content-encoding': encoding } = headers;
  if (type !== 'application/json') {
    const parameters = [...type.matchAll(PARAMETER)];
    const readable = parameters.every(
      ([, name = '', quoted, token]) => name.toLowerCase() !== 'charset' || /^utf-?8$/i.test(quoted ?? token ?? ''),
    );
    if (!readable || !JSON_TYPE.test(type))
      throw new ProblemError('unsupported_media_type', `${type} is not read here`);
  }
  if (encoding !== undefined && !/^(?:identity|[ \t,])*$/i.test(encoding))
    throw new ProblemError('unsupported_media_type', `Content-Encoding ${encoding} is not read here`);
}

/** A fraction that is not zero, or an exponent, in a number, or what looks like it in a text. */
const FRACTION = /[:[,]\s*-?\d+(?:[eE]|\.\d*[1-9eE])/;
const STRING = /"(?:[^"\\]|\\.)*"/g;

/**
 * Parses JSON whose members are all there afterwards: of two with one name, the first would vanish.
 *
 * Members are counted before and after, which costs less than 1 µs for an order of a few lines (docs/adr/0070).
 *
 * @throws ProblemError 400 for what is not JSON, or changes when it is parsed.
 */
export function parseJson(body: Buffer): unknown {
  if (!isUtf8(body)) throw new ProblemError('invalid_json', 'The body is not UTF-8');
  const text = body.toString().replace(/^\ufeff/, '');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ProblemError('invalid_json', `The body is not JSON: ${(error as SyntaxError).message}`, { cause: error });
  }
  const members = countMembers(value);
  // Each member has a colon; others may stand in texts.
  const unequal = count(text, ':') !== members && count(text.replace(STRING, ''), ':') !== members;
  if (!unequal && !FRACTION.test(text)) return value;
  const errors = changesOf(text);
  if (errors.length > 0) throw invalidRequest(errors);
  return value;
}

function count(text: string, character: string): number {
  let found = 0;
  for (let at = text.indexOf(character); at !== -1; at = text.indexOf(character, at + 1)) found += 1;
  return found;
}

/** Of all objects in a value. Not recursive: a body may be nested thousands deep. */
function countMembers(value: unknown): number {
  let members = 0;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    if (Array.isArray(next)) {
      for (const item of next) if (typeof item === 'object') open.push(item);
      continue;
    }
    for (const name in next) {
      const member = (next as Record<string, unknown>)[name];
      members += 1;
      if (name === '__proto__' || (name === 'constructor' && Object.hasOwn(Object(member), 'prototype')))
        throw new ProblemError(
          'invalid_json',
          'The body has a key named __proto__, or one named constructor that holds prototype',
        );
      if (typeof member === 'object') open.push(member);
    }
  }
  return members;
}

/** The parts of JSON that say where a value stands, and its numbers. */
const PARTS = /"(?:[^"\\]|\\.)*"|[{}[\],]|-?\d[\d.eE+-]*/g;

/** What parsing this well-formed JSON changes: names that stand twice in an object, and fractions that become whole numbers. */
function changesOf(text: string): RequestError[] {
  const errors: RequestError[] = [];
  const open: { names?: Set<string>; step: string | number; named?: boolean }[] = [];
  const report = (detail: string) => errors.push({ pointer: jsonPointer(open.map(({ step }) => step)), detail });
  for (const [part] of text.matchAll(PARTS)) {
    const within = open.at(-1);
    if (part === '{') open.push({ names: new Set(), step: '' });
    else if (part === '[') open.push({ step: 0 });
    else if (part === '}' || part === ']') open.pop();
    else if (part === ',') {
      if (typeof within?.step === 'number') within.step += 1;
      else if (within !== undefined) within.named = false;
    } else if (part.startsWith('"')) {
      if (within?.names === undefined || within.named === true) continue;
      within.named = true;
      within.step = JSON.parse(part) as string;
      if (within.names.has(within.step)) report('is given twice');
      within.names.add(within.step);
    } else if (isRounded(part)) report('must be a whole number');
    if (errors.length === ERRORS_MAX) break;
  }
  return errors;
}

/** Whether a number that is not whole becomes one as a double: `9007199254740991.4`, `100.00000000000000001`, `1e-400`. */
function isRounded(literal: string): boolean {
  if (!Number.isInteger(Number(literal))) return false;
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal) ?? [];
  const digits = (whole + fraction).replace(/0+$/, '');
  const zeros = whole.length + fraction.length - digits.length;
  return /[1-9]/.test(digits) && Number(exponent) - fraction.length + zeros < 0;
}
