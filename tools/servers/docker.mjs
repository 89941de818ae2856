// @ts-check
// Servers as services of docker-compose.yml, in a project of this checkout and namespace.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../folder.mjs';
import { freePort } from '../ports.mjs';
import { run } from '../processes.mjs';
import { StepFailed } from '../steps.mjs';

/** How long a container may take to answer, images being there. */
export const TIMEOUT_MS = 120_000;

const file = join(root, 'docker-compose.yml');

/** The compose project of a namespace in this checkout. @param {string} namespace */
export function projectOf(namespace) {
  const checkout = createHash('sha256').update(root).digest('hex').slice(0, 8);
  return ['tandem', checkout, namespace].filter((part) => part !== '').join('-');
}

/** Why Docker cannot be used, or undefined when it can. @type {Promise<string | undefined> | undefined} */
let answer;

/** Asked once. @returns {Promise<string | undefined>} */
export function unavailable() {
  return (answer ??= ask());
}

async function ask() {
  if (!existsSync(file)) return 'no docker-compose.yml';
  const engine = await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeoutMs: 10_000 });
  if (engine.code !== 0) return 'no Docker engine answers';
  const plugin = await run('docker', ['compose', 'version'], { timeoutMs: 10_000 });
  return plugin.code === 0 ? undefined : 'Docker has no compose plugin';
}

/** Compose gives no promise about parallel runs in one project. @type {Promise<unknown>} */
let turn = Promise.resolve();

/**
 * Starts a service; it may still be booting on return.
 *
 * @param {import('../servers.mjs').Server} server
 * @param {import('../servers.mjs').Context} context
 * @returns {Promise<number>} its port on loopback
 */
export function up(server, context) {
  const result = turn.then(async () => {
    const port = (await publishedPort(server, context)) ?? (await freePort(server.standardPort));
    const env = { ...process.env, [`${server.name.toUpperCase()}_PORT`]: `${port}` };
    const args = ['up', '-d', '--no-deps', server.name];
    const { code, output } = await compose(context.project, args, { env, signal: context.signal });
    if (code !== 0) throw new StepFailed(`docker compose up ${server.name} failed`, lastLines(output));
    return port;
  });
  turn = result.catch(() => undefined);
  return result;
}

/**
 * @param {import('../servers.mjs').Server} server
 * @param {import('../servers.mjs').Context} context
 * @returns {Promise<string | undefined>} its last words when the container has ended
 */
export async function failed(server, context) {
  const { output } = await compose(context.project, ['ps', '-a', '--format', '{{.State}}', server.name]);
  if (!/exited|dead|restarting/.test(output)) return undefined;
  return (await compose(context.project, ['logs', '--no-log-prefix', '--tail', '20', server.name])).output;
}

/**
 * Stops a service and removes its container; its named volume stays, nameless ones go.
 *
 * @param {import('../servers.mjs').Server} server
 * @param {Pick<import('../servers.mjs').Context, 'project'>} context
 * @param {AbortSignal} urgent
 */
export async function stop(server, context, urgent) {
  const cut = () => void compose(context.project, ['kill', server.name]);
  urgent.addEventListener('abort', cut, { once: true });
  if (urgent.aborted) await compose(context.project, ['kill', server.name]);
  const { code, output } = await compose(context.project, ['rm', '--force', '--stop', '--volumes', server.name]);
  urgent.removeEventListener('abort', cut);
  if (code !== 0) throw new StepFailed(`docker compose could not stop ${server.name}`, lastLines(output));
  // The last one takes the network along.
  const left = await compose(context.project, ['ps', '-a', '-q']);
  if (left.code === 0 && left.output.trim() === '') await compose(context.project, ['down']);
}

/**
 * Removes containers, networks and volumes of a project.
 *
 * @param {string} project
 * @returns {Promise<boolean>} whether there was anything
 */
export async function purge(project) {
  const label = `label=com.docker.compose.project=${project}`;
  const volumes = await run('docker', ['volume', 'ls', '-q', '--filter', label], { timeoutMs: 20_000 });
  const containers = await run('docker', ['ps', '-aq', '--filter', label], { timeoutMs: 20_000 });
  if (`${volumes.output}${containers.output}`.trim() === '') return false;
  const { code, output } = await compose(project, ['down', '--volumes', '--remove-orphans']);
  if (code !== 0) throw new StepFailed('docker compose down failed', lastLines(output));
  return true;
}

/**
 * The port of a container that is there already.
 *
 * @param {import('../servers.mjs').Server} server
 * @param {import('../servers.mjs').Context} context
 */
async function publishedPort(server, context) {
  const { code, output } = await compose(context.project, ['port', server.name, `${server.standardPort}`]);
  const port = /:(\d+)\s*$/.exec(output)?.[1];
  return code === 0 && port !== undefined && port !== '0' ? Number(port) : undefined;
}

/** @param {string} project @param {string[]} args @param {{ env?: NodeJS.ProcessEnv, signal?: AbortSignal }} [options] */
function compose(project, args, options = {}) {
  return run('docker', ['compose', '-f', file, '-p', project, ...args], { cwd: root, timeoutMs: 300_000, ...options });
}

/** @param {string} output */
function lastLines(output) {
  return output.trim().split('\n').slice(-10).join('\n');
}
