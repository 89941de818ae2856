// @ts-check
// Command-line switches and the environment of these tools.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './folder.mjs';
import { servers } from './servers.mjs';
import { StepFailed } from './steps.mjs';

/** @typedef {import('./servers.mjs').Way} Way */

/**
 * Which way to find each server: from `--postgres=…`, `--rabbitmq=…`, `--kafka=…` and `--servers=…`, or TANDEM_POSTGRES and so on.
 *
 * @param {Record<string, string | undefined>} values of the command line
 * @param {NodeJS.ProcessEnv} env
 * @returns {Record<string, Way | undefined>}
 * @throws {StepFailed} naming the switch that is wrong
 */
export function readWays(values, env) {
  /** @type {Record<string, Way | undefined>} */
  const ways = {};
  for (const server of servers) {
    const variable = `TANDEM_${server.name.toUpperCase()}`;
    const own = values[server.name] ?? (env[variable] || undefined);
    // Only PostgreSQL is embedded; of the others `--servers=embedded` wants the nearest thing.
    const all = values['servers'] === 'embedded' && server.name !== 'postgres' ? 'native' : values['servers'];
    const way = server.ways.find((one) => one === (own ?? all));
    if ((own ?? all) !== undefined && way === undefined) {
      const option = own === undefined ? '--servers' : `--${server.name} (${variable})`;
      throw new StepFailed(`${option} takes ${server.ways.join(', ')}; not ${own ?? all}`);
    }
    ways[server.name] = way;
  }
  return ways;
}

/** Takes settings from `.env` where there is one; what is set already wins. */
export function loadDotEnv() {
  const path = join(root, '.env');
  if (existsSync(path)) process.loadEnvFile(path);
}

/**
 * The prefix of all names on the servers.
 *
 * @param {NodeJS.ProcessEnv} env
 * @throws {StepFailed} when it would not do in every name
 */
export function namespaceOf(env) {
  const namespace = env['NAMESPACE'] ?? '';
  if (!/^[a-z0-9_-]*$/.test(namespace)) {
    throw new StepFailed(`NAMESPACE takes lower-case letters, digits, _ and -; not ${JSON.stringify(namespace)}`);
  }
  return namespace;
}
