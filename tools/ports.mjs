// @ts-check
// TCP ports: whether one is free, and who has it.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './processes.mjs';

/** Whether nothing listens there, on loopback or on all interfaces. @param {number} port */
export async function isFree(port) {
  // Both, because macOS lets one program have 127.0.0.1 and another 0.0.0.0.
  for (const host of ['127.0.0.1', '0.0.0.0']) {
    const server = await listen(port, host).catch(() => undefined);
    if (server === undefined) return false;
    await close(server);
  }
  return true;
}

/** Free ports, all different. @param {number} count @returns {Promise<number[]>} */
export async function freePorts(count) {
  // Held together until all are known, or the same one could come twice.
  const servers = await Promise.all(Array.from({ length: count }, () => listen(0, '127.0.0.1')));
  const ports = servers.map((server) => /** @type {import('node:net').AddressInfo} */ (server.address()).port);
  await Promise.all(servers.map(close));
  return ports;
}

/**
 * The port when it is free, else one that its server finds free again when it comes back.
 *
 * @param {number} wanted
 * @param {number} waitMsMax how long to wait for it
 */
export async function freePort(wanted, waitMsMax = 0) {
  for (const late = Date.now() + waitMsMax; ; await sleep(50)) {
    if (await isFree(wanted)) return wanted;
    if (Date.now() >= late) return /** @type {number} */ ((await lastingPorts(1))[0]);
  }
}

/**
 * Free ports, all different, that stay free while nobody listens: systems take the ports of outgoing connections from
 * 32768 on (Linux) or 49152 (macOS), and one of those may be gone when its server comes back.
 *
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function lastingPorts(count) {
  /** @type {number[]} */
  const found = [];
  while (found.length < count) {
    const port = 20_000 + LANES * Math.floor((Math.random() * 12_000) / LANES) + lane;
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    found.push(port);
  }
  return found;
}

/** Whoever asks for a port listens later, and may stop for a while: none is given twice, nor by two workers of Jest. */
const given = new Set();
const LANES = 4;
const lane = Number(process.env['JEST_WORKER_ID'] ?? 0) % LANES;

/**
 * What listens on a port.
 *
 * @param {number} port
 * @returns {Promise<{ pid: number, name: string } | undefined>} undefined when nothing does, or another user's process
 */
export async function listener(port) {
  if (process.platform === 'linux') return listenerFromProc(port);
  const { code, output } = await run('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'], { timeoutMs: 5_000 });
  const [, pid, name] = /p(\d+)\nc(.*)/.exec(output) ?? [];
  return code === 0 && pid !== undefined ? { pid: Number(pid), name: name ?? '' } : undefined;
}

/** @param {number} port */
function listenerFromProc(port) {
  const inodes = new Set([...listening('/proc/net/tcp', port), ...listening('/proc/net/tcp6', port)]);
  if (inodes.size === 0) return undefined;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
        if (!inodes.has(readlinkSync(`/proc/${pid}/fd/${descriptor}`))) continue;
        return { pid: Number(pid), name: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() };
      }
    } catch {
      // It ended, or belongs to somebody else.
    }
  }
  return undefined;
}

/** @param {string} table @param {number} port */
function listening(table, port) {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  try {
    return readFileSync(table, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[1]?.endsWith(`:${hex}`) && fields[3] === '0A')
      .map((fields) => `socket:[${fields[9]}]`);
  } catch {
    return []; // No IPv6.
  }
}

/** @param {number} port @param {string} host @returns {Promise<import('node:net').Server>} */
function listen(port, host) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host, exclusive: true }, () => resolve(server));
  });
}

/** @param {import('node:net').Server} server */
function close(server) {
  return new Promise((resolve) => server.close(resolve));
}
