// @ts-check
// Where things are. Everything that a run leaves behind lies below one ignored folder, `.tandem`.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

/** Data, logs and records of the development system. */
export const folder = join(root, '.tandem');

/** Logs of servers and services, one file each. */
export const logs = join(folder, 'logs');

/**
 * Reads a JSON file that one of these tools wrote.
 *
 * @param {string} path
 * @returns {any} undefined when there is none, or when it is not JSON: a record cut short by a crash says nothing.
 */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Writes a JSON file whole or not at all, so that a reader never sees half of it.
 *
 * @param {string} path
 * @param {unknown} value
 */
export function writeJson(path, value) {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}`;
  // Addresses may hold passwords.
  writeFileSync(draft, JSON.stringify(value, null, 2) + '\n', { mode: 0o600 });
  renameSync(draft, path);
}

/** @param {string} path */
export function remove(path) {
  rmSync(path, { recursive: true, force: true });
}

/**
 * The last lines of a file, for a message about what went wrong.
 *
 * @param {string} path
 * @param {number} linesMax
 */
export function tail(path, linesMax = 20) {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-linesMax).join('\n');
  } catch {
    return '';
  }
}
