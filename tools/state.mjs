// @ts-check
// The state of the development system in words, for `npm run status`.
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { folder } from './folder.mjs';
import { loadDotEnv } from './options.mjs';
import { liveRun, readRun } from './record.mjs';
import { messageOf, nativeRunning, servers, withoutLogin } from './servers.mjs';
import { readiness, reasons, services } from './services.mjs';

/** Prints a line for each server and service; the exit status says whether all are ready. */
export async function printState() {
  loadDotEnv();
  const live = liveRun(folder);
  const last = readRun(folder);
  if (live) line('npm start', `pid ${live.runner.pid}`, `namespace ${live.namespace || '(none)'}`);
  else line('npm start', 'not running', last ? 'the last one was killed; the next one tidies up' : '');
  const ready = [live !== undefined];
  for (const server of servers) ready.push(await printServer(server, live));
  const wanted = live?.services ?? services(process.env);
  const states = await Promise.all(wanted.map(async (one) => ({ one, state: await readiness(one) })));
  for (const { one, state } of states) {
    line(
      one.name,
      `:${one.port}`,
      state.ready ? (state.status === 'ok' ? 'ready' : `ready, ${state.status}`) : state.status,
    );
    for (const reason of reasons(state)) line('', '', reason);
    ready.push(state.ready);
  }
  line('data', '.tandem', `${Math.ceil((await bytesOf(folder)) / 1_000_000)} MB`);
  process.exitCode = ready.every(Boolean) ? 0 : 1;
}

/** @param {import('./servers.mjs').Server} server @param {import('./record.mjs').Run | undefined} live */
async function printServer(server, live) {
  const left = nativeRunning(folder).find((one) => one.server.name === server.name);
  const found =
    live?.servers.find(({ name }) => name === server.name) ??
    (left && { way: left.record.way, address: left.record.address, pid: left.record.leader?.pid });
  if (!found) {
    line(server.name, live ? 'not started yet' : 'not started', '');
    return false;
  }
  const where = `${found.way}, ${withoutLogin(found.address)}${found.pid === undefined ? '' : `, pid ${found.pid}`}`;
  try {
    await server.probe(found.address);
    line(server.name, where, live ? 'answers' : 'answers, left by a start that was killed');
    return true;
  } catch (error) {
    line(server.name, where, `does not answer: ${messageOf(error)}`);
    return false;
  }
}

/** @param {string} name @param {string} where @param {string} state */
function line(name, where, state) {
  console.log(`${name.padEnd(10)} ${where.padEnd(40)} ${state}`.trimEnd());
}

/** @param {string} path @returns {Promise<number>} what the files below a folder hold; those that vanish count nothing */
async function bytesOf(path) {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isDirectory()) return found?.size ?? 0;
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(names.map((name) => bytesOf(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}
