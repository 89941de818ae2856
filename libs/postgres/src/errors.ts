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

/** What `pg` and Node say when a handshake of TLS does not even begin, or is broken off. */
const TLS_REFUSED =
  /^(The server does not support SSL connections|There was an error establishing an SSL connection)|before secure TLS connection was established/;

/** How Node names what fails in TLS: its own errors, OpenSSL's, and what is wrong with a certificate. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|(DEPTH_ZERO_)?SELF_SIGNED_CERT|INVALID_(CA|PURPOSE)$|HOSTNAME_MISMATCH$|PATH_LENGTH_EXCEEDED$|ERROR_IN_)/;
/** Those that end the attempt to connect; any other may also come later. */
const TLS_HANDSHAKE_CODE =
  /^(ERR_TLS_CERT_ALTNAME_INVALID|CERT_|CRL_|UNABLE_TO_|(DEPTH_ZERO_)?SELF_SIGNED_CERT|INVALID_(CA|PURPOSE)$|HOSTNAME_MISMATCH$|PATH_LENGTH_EXCEEDED$|ERROR_IN_)/;

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

/**
 * Whether the connection is gone or was never made, so that what was sent on it may or may not have been done: socket
 * errors, errors of TLS, and the server's farewells (class 08, 57P and its idle time-out 25P03).
 */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return /^(08|57P|25P03)/.test(state);
  if (!types.isNativeError(error)) return false;
  // System errors carry the name of the call that failed; several at once come when a name has more than one address.
  if ('syscall' in error || 'errors' in error) return true;
  return LOST.test(error.message) || TLS_REFUSED.test(error.message) || TLS_CODE.test(codeOf(error));
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
  if (TLS_REFUSED.test(error.message) || TLS_HANDSHAKE_CODE.test(codeOf(error))) return true;
  return error.message === 'timeout exceeded when trying to connect';
}

/** Whether values are to blame, so that they would be refused again: data, constraints, limits of the server or of this process. */
export function isValueRefused(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return /^(21|22|23|54)/.test(state);
  return types.isNativeError(error) && error.name === 'RangeError';
}
