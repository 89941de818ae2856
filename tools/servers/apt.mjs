// @ts-check
// Installing what is missing, where that is ours to do: as root on Debian and its relatives.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { find, run } from '../processes.mjs';
import { StepFailed } from '../steps.mjs';

/** dpkg takes one at a time. @type {Promise<unknown>} */
let turn = Promise.resolve();

/**
 * Installs a Debian package without starting the services that it brings.
 *
 * @param {string} name
 * @param {import('../servers.mjs').Context} context
 * @returns {Promise<boolean>} false where apt is not for us to use
 * @throws {StepFailed} with apt's words
 */
export function install(name, context) {
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version') || !find('apt-get')) return Promise.resolve(false);
  const result = turn.then(() => installNow(name, context));
  turn = result.catch(() => undefined);
  return result;
}

/** @param {string} name @param {import('../servers.mjs').Context} context */
async function installNow(name, context) {
  if (context.signal.aborted) throw new StepFailed('interrupted');
  context.says(`apt-get install ${name}`);
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  // Status 101 forbids that the package starts its service: invoke-rc.d(8). It would take the standard port.
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Never interrupted: half an installation is worse than a wait.
  const options = { env, timeoutMs: 900_000 };
  const apt = (/** @type {string[]} */ ...args) =>
    run('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', ...args], options);
  try {
    let result = await apt('install', '-y', '--no-install-recommends', name);
    if (result.code !== 0) {
      // The lists of a fresh machine are empty or old.
      await apt('update');
      result = await apt('install', '-y', '--no-install-recommends', name);
    }
    if (result.code !== 0)
      throw new StepFailed(`apt-get install ${name} failed`, result.output.trim().split('\n').slice(-10).join('\n'));
    return true;
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}
