// @ts-check
// What comes before everything else: the packages, and the Node.js that comes with them. This file and what it imports
// run before `npm ci`, so they know Node's own library only, as of Node 20.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { readJson, root } from './folder.mjs';
import { run } from './processes.mjs';
import { StepFailed } from './steps.mjs';

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

const bin = join(root, 'node_modules', '.bin');

/** Tells the second process, on the repository's own Node.js, that the packages are there. */
const CHECKED = 'TANDEM_PACKAGES_CHECKED';

/**
 * Installs the packages when they are missing or older than the lock file.
 *
 * @param {import('./steps.mjs').Steps} steps
 * @returns {Promise<void>}
 */
export async function installPackages(steps) {
  checkNode();
  // The process before this one has said so already.
  if (process.env[CHECKED]) return void delete process.env[CHECKED];
  await steps.run('packages', async (step) => {
    const reason = packagesMissing();
    if (reason === undefined) return step.says('installed');
    step.says(`npm ci (${reason})`);
    // npm runs in a group of its own, which a Ctrl-C would not reach.
    const interrupted = new AbortController();
    const interrupt = () => interrupted.abort();
    for (const signal of SIGNALS) process.once(signal, interrupt);
    const options = { cwd: root, timeoutMs: 600_000, signal: interrupted.signal };
    const { code, output } = await run('npm', ['ci', '--no-audit', '--no-fund'], options);
    for (const signal of SIGNALS) process.off(signal, interrupt);
    if (interrupted.signal.aborted) throw new StepFailed('interrupted');
    if (code !== 0) throw new StepFailed(`npm ci failed (${reason})`, output.trim().split('\n').slice(-20).join('\n'));
    step.says(`installed now: ${reason}`);
  });
}

/**
 * Puts the repository's commands first in PATH, and goes on in its own Node.js where it has one.
 *
 * @returns {Promise<boolean>} true when this process is the one that should do the work; false when another did it and
 *   this one only has to end (its exit code is set)
 */
export async function onRepositoryNode() {
  process.env['PATH'] = [bin, process.env['PATH']].join(delimiter);
  const node = join(bin, 'node');
  if (!existsSync(node) || Number(process.versions.node.split('.')[0]) >= 24) return true;
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit', env: { ...process.env, [CHECKED]: 'yes' } });
  // A terminal signals parent and child alike; the child takes two signals in quick succession for one.
  for (const signal of SIGNALS) {
    process.on(signal, () => child.kill(signal));
  }
  process.exitCode = await new Promise((resolve) => {
    child.on('error', () => resolve(1));
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
  return false;
}

/** Why the packages have to be installed; undefined when they are what the lock file says. */
export function packagesMissing() {
  // npm leaves a lock file behind when it has finished. Contents are compared, because git changes times at will.
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages;
  if (installed === undefined) return 'there were none';
  const wanted = readJson(join(root, 'package-lock.json'))?.packages ?? {};
  for (const [path, { version, integrity, resolved, link, optional, devOptional }] of Object.entries(wanted)) {
    if (!path.startsWith('node_modules/')) continue;
    if (link && installed[path]?.resolved === resolved) continue;
    // Packages for other platforms are in the lock file and not on the disk.
    if (installed[path] === undefined && (optional || devOptional)) continue;
    if (installed[path]?.version === version && installed[path]?.integrity === integrity) continue;
    return `${path.slice('node_modules/'.length)} is not as package-lock.json says`;
  }
  return undefined;
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  // The repository brings its own Node.js for Linux only.
  const brought = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
  if (brought ? major < 20 : major < 22 || (major === 22 && minor < 15)) {
    throw new StepFailed(`Node.js ${brought ? '20' : '22.15'} or newer is needed; this is ${process.version}`);
  }
}
