import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, pino, stdSerializers, stdTimeFunctions } from 'pino';

/** The values of `LOG_LEVEL`, most urgent first. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What Nest says while it wires an application together: of interest only when the wiring is. */
const WIRING = new Set(['InstanceLoader', 'NestFactory', 'NestApplication', 'RouterExplorer', 'RoutesResolver']);

/** A stack trace, which Nest passes as text where others pass the error. */
const STACK = /\n\s+at .+/;

type Line = { context?: string; err?: unknown; msg?: string; details?: unknown[] } & Record<string, unknown>;

/**
 * Writes JSON lines, one object each: `level`, `time` (RFC 3339), `service`, `context`, `msg`, `err` and the fields that
 * were given. Takes what Nest's `Logger` passes on: `(message, ...more, context)`, where an error may be the message or
 * any of the rest, plain objects become fields, and the last text is the context.
 */
export class Logger implements LoggerService {
  constructor(private readonly lines: pino.Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    const line = lineOf(message, rest);
    if (line.context !== undefined && WIRING.has(line.context)) this.lines.debug(line);
    else this.lines.info(line);
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.lines.fatal(lineOf(message, rest));
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.lines.error(lineOf(message, rest));
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.lines.warn(lineOf(message, rest));
  }
  debug(message: unknown, ...rest: unknown[]): void {
    if (this.lines.isLevelEnabled('debug')) this.lines.debug(lineOf(message, rest));
  }
  verbose(message: unknown, ...rest: unknown[]): void {
    if (this.lines.isLevelEnabled('trace')) this.lines.trace(lineOf(message, rest));
  }
}

/**
 * The logger of a process, for `NestFactory.create(…, { logger })` and `app.useLogger`. Lines go to standard output
 * unless another stream is given, and are written before the call returns, so that a crash does not take them along.
 */
export function createLogger(options: { service: string; level: LogLevel }, to?: DestinationStream): Logger {
  return new Logger(
    pino(
      {
        level: options.level,
        base: { service: options.service },
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (level) => ({ level }) },
        serializers: { err: stdSerializers.errWithCause },
      },
      to ?? pino.destination({ fd: 1, sync: true }),
    ),
  );
}

function lineOf(message: unknown, rest: readonly unknown[]): Line {
  const more = [...rest];
  const line: Line = {};
  const last = more.at(-1);
  if (typeof last === 'string' && !STACK.test(last)) {
    line.context = last;
    more.pop();
  }
  for (const part of [message, ...more]) {
    if (part instanceof Error) {
      line.err ??= part;
      line.msg ??= part.message;
    } else if (typeof part === 'string') {
      if (line.msg === undefined) line.msg = part;
      else if (STACK.test(part)) line.err ??= { stack: part };
      else (line.details ??= []).push(part);
    } else if (typeof part === 'object' && part !== null && !Array.isArray(part)) {
      Object.assign(line, part);
    } else if (part !== undefined) {
      (line.details ??= []).push(part);
    }
  }
  return line;
}
