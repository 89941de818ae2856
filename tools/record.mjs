// @ts-check
// `run.json`: who runs the system of a folder, and what was started. It survives a crash, so that the next one can tidy up.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, remove, writeJson } from './folder.mjs';
import { identify, isAlive, members } from './processes.mjs';
import { stopServices } from './services.mjs';
import { StepFailed } from './steps.mjs';

/**
 * @typedef {object} Run
 * @property {import('./processes.mjs').Identity} runner
 * @property {string} namespace
 * @property {string} project the Docker compose project
 * @property {{ name: string, variable: string, way: import('./servers.mjs').Way, address: string, pid?: number }[]} servers
 * @property {import('./services.mjs').Service[]} services
 * @property {import('./processes.mjs').Identity} [nx]
 * @property {number[]} [groups] process groups of the services
 */

/** @param {string} place @returns {Run | undefined} */
export function readRun(place) {
  return readJson(pathOf(place));
}

/** @param {string} place @returns {Run | undefined} the run of a live process */
export function liveRun(place) {
  const run = readRun(place);
  return run && isAlive(run.runner) ? run : undefined;
}

/**
 * Claims a folder for this process, and ends what a run that died there left behind, its servers excepted: they are
 * found again by their own records.
 *
 * @param {string} place
 * @param {string} command for the message when it is taken
 * @param {Omit<Run, 'runner'>} run
 * @returns {Promise<{ recovered: boolean, run: Run, save: () => void, release: () => void }>}
 */
export async function claim(place, command, run) {
  const path = pathOf(place);
  mkdirSync(place, { recursive: true });
  const runner = identify(process.pid);
  if (runner === undefined) throw new Error('this process cannot find itself');
  const record = { ...run, runner };
  let recovered = false;
  for (let attempt = 0; ; attempt++) {
    try {
      // Of two that start at the same moment one gets the file.
      writeFileSync(path, JSON.stringify(record), { flag: 'wx', mode: 0o600 });
      break;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST' || attempt === 3) throw error;
      const live = liveRun(place);
      if (live) throw new StepFailed(`${command} runs already in this checkout, as pid ${live.runner.pid}`);
      recovered = (await endRemains(place)) || recovered;
      remove(path);
    }
  }
  const save = () => writeJson(path, record);
  return { recovered, run: record, save, release: () => remove(path) };
}

/** Ends services and Nx of a run that died. @param {string} place */
export async function endRemains(place) {
  const left = readRun(place);
  if (left === undefined || isAlive(left.runner)) return false;
  const nx = left.nx && isAlive(left.nx) ? left.nx.pid : undefined;
  // Group ids are reused like any other: only a group in which a service of ours still lives is meant.
  const groups = (left.groups ?? []).filter((group) =>
    members(group).some((one) => one.command.includes('src/main.ts')),
  );
  if (nx === undefined && groups.length === 0) return false;
  await stopServices({ nx, groups }, new AbortController().signal);
  return true;
}

/** @param {string} place */
function pathOf(place) {
  return join(place, 'run.json');
}
