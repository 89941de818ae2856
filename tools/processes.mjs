// @ts-check
// Starting, recognising and ending processes. A process is known by its id and its start time, because ids are reused.
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @typedef {{ pid: number, parent: number, group: number, started: string, command: string }} Process
 * @typedef {{ pid: number, started: string }} Identity what a record keeps of a process
 */

/** All live processes; a zombie is not alive, unless threads of it are. @returns {Process[]} */
export function processes() {
  return process.platform === 'linux' ? fromProc() : fromPs();
}

/**
 * @param {number | undefined} pid
 * @returns {Identity | undefined} undefined when there is no such process
 */
export function identify(pid) {
  if (pid === undefined) return undefined;
  const found = process.platform === 'linux' ? readProc(pid) : fromPs().find((one) => one.pid === pid);
  return found && { pid, started: found.started };
}

/** @param {Identity | undefined} recorded */
export function isAlive(recorded) {
  return recorded !== undefined && identify(recorded.pid)?.started === recorded.started;
}

/** A process and all that descend from it, parents first. @param {number} pid */
export function family(pid) {
  const all = processes();
  const found = all.filter((one) => one.pid === pid);
  for (const parent of found) found.push(...all.filter((one) => one.parent === parent.pid && one.pid !== pid));
  return found;
}

/** The live members of a process group. @param {number} group */
export function members(group) {
  return processes().filter((one) => one.group === group);
}

/** The working folder of a process, where the system tells. @param {number} pid */
export function workingFolder(pid) {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

/**
 * Runs a command to its end and gathers what it says.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs: number, signal?: AbortSignal, uid?: number, gid?: number }} options
 * @returns {Promise<{ code: number, output: string }>} code 127 when the command is missing, 124 when it took too long
 */
export function run(command, args, { timeoutMs, signal, ...options }) {
  return new Promise((resolve) => {
    // A group of its own, so that a Ctrl-C on the terminal reaches only us.
    const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let ended = '';
    /** @type {Promise<unknown> | undefined} */
    let ending;
    const gather = (/** @type {Buffer} */ part) => (output = (output + part).slice(-200_000));
    child.stdout.on('data', gather);
    child.stderr.on('data', gather);
    const end = (/** @type {string} */ why) => {
      ended = why;
      if (child.pid !== undefined) ending = endFamily(child.pid, { graceMs: 5_000 });
    };
    const timer = setTimeout(() => end('timeout'), timeoutMs);
    const abort = () => end('abort');
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    const done = (/** @type {number} */ code) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      if (ended === 'timeout') output += `\nended after ${timeoutMs / 1000} s without a result`;
      resolve({ code: ended === 'timeout' ? 124 : code, output });
    };
    child.on('error', (error) => {
      output += error.message;
      done(127);
    });
    // Its children may outlive it, and nobody would be left to end them.
    child.on('close', (code, killedBy) => {
      if (killedBy && !ended) output += `\nended by ${killedBy}`;
      void Promise.resolve(ending).then(() => done(code ?? 1));
    });
  });
}

/**
 * Starts a process that outlives a crash of ours: a group of its own, its output in a file (the one before is kept as
 * `.previous`).
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ log: string, cwd?: string, env?: NodeJS.ProcessEnv, uid?: number, gid?: number }} options
 */
export function launch(command, args, { log, ...options }) {
  const output = openLog(log);
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', output, output] });
  closeSync(output);
  /** @type {{ error?: Error, exited: boolean }} */
  const state = { exited: false };
  child.on('error', (error) => Object.assign(state, { error, exited: true }));
  child.on('exit', () => Object.assign(state, { exited: true }));
  child.unref();
  return { pid: child.pid, state };
}

/** Opens a fresh log. @param {string} path */
export function openLog(path) {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path)) renameSync(path, `${path}.previous`);
  return openSync(path, 'a');
}

/**
 * Ends processes: a signal, a bounded wait, then SIGKILL.
 *
 * @param {() => number[]} alive the ids that still live; asked again and again
 * @param {{ signal?: NodeJS.Signals, graceMs: number, urgent?: AbortSignal, send?: (signal: NodeJS.Signals) => void }} options
 *   `urgent` cuts the wait short
 * @returns {Promise<boolean>} whether they ended by themselves
 */
export async function endAll(alive, { signal = 'SIGTERM', graceMs, urgent, send }) {
  const deliver =
    send ?? ((/** @type {NodeJS.Signals} */ name) => alive().forEach((pid) => quietly(() => process.kill(pid, name))));
  if (alive().length === 0) return true;
  if (!urgent?.aborted) deliver(signal);
  const deadline = Date.now() + graceMs;
  while (Date.now() < deadline && !urgent?.aborted) {
    if (alive().length === 0) return true;
    await sleep(50);
  }
  if (alive().length === 0) return true;
  deliver('SIGKILL');
  for (let waits = 0; waits < 60 && alive().length > 0; waits++) await sleep(50);
  return false;
}

/**
 * Ends a process group.
 *
 * @param {number} group
 * @param {{ signal?: NodeJS.Signals, graceMs: number, urgent?: AbortSignal }} options
 */
export function endGroup(group, options) {
  const send = (/** @type {NodeJS.Signals} */ signal) => quietly(() => process.kill(-group, signal));
  return endAll(() => members(group).map((one) => one.pid), { ...options, send });
}

/**
 * Ends a process and all that descend from it, in whatever groups they are: some that run others give each a group of its own.
 *
 * @param {number} pid
 * @param {{ graceMs: number, urgent?: AbortSignal }} options
 */
export function endFamily(pid, options) {
  const first = identify(pid);
  /** @type {Map<number, Identity>} */
  const known = new Map(first && [[pid, first]]);
  const alive = () => {
    const all = processes();
    const isThere = (/** @type {Identity} */ { pid, started }) =>
      all.some((one) => one.pid === pid && one.started === started);
    // Kept, because one that has lost its parent is still meant; looked for again, because they have children until they end.
    const found = [...known.values()].filter(isThere);
    for (const parent of found)
      for (const child of all)
        if (child.parent === parent.pid && !known.has(child.pid)) {
          known.set(child.pid, child);
          found.push(child);
        }
    return found.map((one) => one.pid);
  };
  return endAll(alive, options);
}

/** The full path of a command in PATH, or undefined. @param {string} command */
export function find(command) {
  for (const place of (process.env['PATH'] ?? '').split(':')) {
    if (place !== '' && existsSync(`${place}/${command}`)) return `${place}/${command}`;
  }
  return undefined;
}

/** @param {() => void} action which may fail because the process is gone already */
function quietly(action) {
  try {
    action();
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}

function fromProc() {
  const found = [];
  for (const name of readdirSync('/proc')) {
    const one = /^\d+$/.test(name) ? readProc(Number(name)) : undefined;
    if (one) found.push(one);
  }
  return found;
}

/** @param {number} pid @returns {Process | undefined} */
function readProc(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses, which may itself hold spaces and parentheses: proc_pid_stat(5).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie with more threads than one is still ending: while the others live, they hold its ports and its files.
    if (fields[0] === 'X' || (fields[0] === 'Z' && Number(fields[17]) <= 1)) return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trimEnd();
    return { pid, parent: Number(fields[1]), group: Number(fields[2]), started: fields[19] ?? '', command };
  } catch {
    return undefined; // It ended while we read.
  }
}

/** @returns {Process[]} */
function fromPs() {
  const env = { ...process.env, LC_ALL: 'C' };
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat=,lstart=,command='], { env, encoding: 'utf8' });
  return lines.split('\n').flatMap((line) => {
    const [pid, parent, group, state, ...rest] = line.trim().split(/\s+/);
    if (pid === undefined || state?.startsWith('Z')) return [];
    const started = rest.slice(0, 5).join(' ');
    return [
      { pid: Number(pid), parent: Number(parent), group: Number(group), started, command: rest.slice(5).join(' ') },
    ];
  });
}
