// @ts-check
// Removal of data: all that `npm start` has made in this checkout, and what test runs that were killed have left.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { folder, readJson, remove, writeJson } from './folder.mjs';
import { removeNamespace, topologyOf } from './namespace.mjs';
import { endRemains, liveRun, readRun } from './record.mjs';
import { messageOf, nativeRunning, withoutLogin } from './servers.mjs';
import { projectOf, purge, unavailable } from './servers/docker.mjs';
import { StepFailed, indent } from './steps.mjs';

/**
 * @typedef {{ namespace: string, project: string, name: string, way: import('./servers.mjs').Way, address: string }} Place
 *   a server on which a namespace was set up
 */

const places = join(folder, 'created.json');

/** Keeps where a namespace has ever been set up. @param {import('./record.mjs').Run} run */
export function remember({ namespace, project, servers }) {
  const key = (/** @type {Place} */ one) => JSON.stringify([one.namespace, one.name, one.address]);
  const now = servers.map(({ name, way, address }) => ({ namespace, project, name, way, address }));
  const all = new Map([...remembered(), ...now].map((one) => [key(one), one]));
  writeJson(places, [...all.values()]);
}

/** @throws {StepFailed} when a run of this checkout still uses the data */
export function expectNothingRuns() {
  for (const place of [folder, ...testPlaces()]) {
    const live = liveRun(place);
    if (!live) continue;
    const what = place === folder ? 'npm start' : 'npm test';
    throw new StepFailed(`${what} (pid ${live.runner.pid}) is running on these data; stop it first`);
  }
}

/** Where data lie on servers that are not ours, in words. */
export function foreignPlaces() {
  return foreign().map(
    ({ name, address, namespace }) => `${name} at ${withoutLogin(address)}, namespace ${namespace || '(none)'}`,
  );
}

/** @param {import('./steps.mjs').Steps} steps */
export async function removeEverything(steps) {
  expectNothingRuns();
  if (!existsSync(folder)) return steps.print('nothing to remove');
  for (const place of testPlaces()) await removeTestRun(place, steps);
  await endLeftovers(folder, steps);
  const failed = [];
  for (const { namespace, name, address } of foreign()) {
    const where = `${name} at ${withoutLogin(address)}`;
    try {
      const removed = await removeNamespace(await topologyOf(namespace), [{ name, address }]);
      steps.note(
        '✔',
        `${where}, namespace ${namespace || '(none)'}: ${removed.length === 0 ? 'nothing left' : 'removed'}`,
      );
      if (removed.length > 0) steps.print(indent(removed.join('\n')));
    } catch (error) {
      failed.push(where);
      steps.note('✘', `${where} could not be cleaned: ${messageOf(error)}`);
    }
  }
  const projects = new Set([projectOf(''), ...remembered().map(({ project }) => project)]);
  if ((await unavailable()) === undefined) {
    for (const project of projects) {
      if (await purge(project)) steps.note('✔', `removed containers and volumes of the compose project ${project}`);
    }
  }
  for (const name of readdirSync(folder)) {
    // What could not be cleaned is known for the next try.
    if (failed.length > 0 && join(folder, name) === places) continue;
    remove(join(folder, name));
    steps.note('✔', `removed .tandem/${name}`);
  }
  if (failed.length > 0) throw new StepFailed(`not cleaned: ${failed.join(', ')}`);
  remove(folder);
}

/** Folders of test runs. */
export function testPlaces() {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith('test-'))
    .map((name) => join(folder, name));
}

/**
 * Removes everything of a test run: what runs, what it has made on servers, its folder.
 *
 * @param {string} place
 * @param {import('./steps.mjs').Steps} [steps] to say that it was left behind
 */
export async function removeTestRun(place, steps) {
  const run = readRun(place);
  await endRemains(place);
  const foreign = run?.servers.filter(({ way }) => way === 'env' || way === 'running') ?? [];
  // Never the empty namespace: a test run has one of its own.
  if (run && run.namespace !== '') await removeNamespace(await topologyOf(run.namespace), foreign);
  for (const { stop } of nativeRunning(place)) await stop(AbortSignal.abort());
  if (run?.servers.some(({ way }) => way === 'docker')) await purge(run.project);
  remove(place);
  steps?.note('!', `removed what the test run ${run?.namespace ?? place} had left behind`);
}

/** @param {string} place @param {import('./steps.mjs').Steps} steps */
async function endLeftovers(place, steps) {
  if (await endRemains(place)) steps.note('✔', 'ended services that a killed start had left running');
  for (const { server, stop } of nativeRunning(place)) {
    await stop(new AbortController().signal);
    steps.note('✔', `stopped ${server.name}, which a killed start had left running`);
  }
}

function foreign() {
  return remembered().filter(({ way }) => way === 'env' || way === 'running');
}

/** @returns {Place[]} */
function remembered() {
  return readJson(places) ?? [];
}
