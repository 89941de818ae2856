// @ts-check
// Test totals: each project's Jest reporter leaves a file in its `out-tests`; see jest-totals.mjs.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, remove, root } from './folder.mjs';

/** @typedef {{ passed: number, failed: number, skipped: number }} Totals */

/** @returns {string[]} */
function folders() {
  const projects = ['apps', 'libs'].flatMap((group) => childrenOf(join(root, group))).concat(childrenOf(root));
  return projects.map((project) => join(project, 'out-tests')).filter((path) => existsSync(path));
}

/** Removes what earlier runs have left. */
export function forgetTotals() {
  folders().forEach(remove);
}

/** The sum over all projects. @returns {Totals} */
export function readTotals() {
  const files = folders().flatMap((path) =>
    readdirSync(path)
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(path, name)),
  );
  return files.map((path) => readJson(path) ?? { failed: 1 }).reduce(add, { passed: 0, failed: 0, skipped: 0 });
}

/**
 * @param {Totals} left
 * @param {Partial<Totals>} right
 * @returns {Totals}
 */
export function add(left, { passed = 0, failed = 0, skipped = 0 }) {
  return { passed: left.passed + passed, failed: left.failed + failed, skipped: left.skipped + skipped };
}

/** The last line of a run, which other programs read. @param {Totals} totals */
export function inWords({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** @param {string} place */
function childrenOf(place) {
  if (!existsSync(place)) return [];
  return readdirSync(place)
    .filter((name) => name !== 'node_modules' && !name.startsWith('.'))
    .map((name) => join(place, name))
    .filter((path) => statSync(path).isDirectory());
}
