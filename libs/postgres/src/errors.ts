import { types } from 'node:util';
import pg from 'pg';

/** The SQLSTATE of a server error, or undefined when the error came from elsewhere (a socket, a time-out, a bug). */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** The constraint that a server error names, if it names one. */
export function violatedConstraint(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.constraint : undefined;
}

/** How `pg` words the loss of a connection where it has no system error to pass on. */
const LOST =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client was closed)|not queryable|connection error/;

/**
 * Whether the connection is gone or was never made, so that what was sent on it may or may not have been done: socket
 * errors, and the server's farewells (class 08, 57P and its idle time-out 25P03).
 */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return /^(08|57P|25P03)/.test(state);
  if (!types.isNativeError(error)) return false;
  // System errors carry the name of the call that failed; several at once come when a name has more than one address.
  if ('syscall' in error || 'errors' in error) return true;
  return LOST.test(error.message);
}

/**
 * Whether nothing was done, for a reason that may pass: no connection came about, or the server rolled back, because of a
 * time-out of lock or statement, too few resources, an I/O error, a server that has become read-only, a login that is refused,
 * or a plan from before a migration. Of a statement or a transaction, not of what went before it.
 */
export function isNotDone(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return /^(0A000|25006|28|3D|53|55P03|57014|57P03|58)/.test(state);
  if (!types.isNativeError(error)) return false;
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isNotDone);
  if ('syscall' in error) return error.syscall === 'connect' || error.syscall === 'getaddrinfo';
  return error.message === 'timeout exceeded when trying to connect';
}
