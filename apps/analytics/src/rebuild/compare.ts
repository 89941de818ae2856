import type { ProjectionDifference } from '@tandem/contracts/projections';
import { QUANTILE_ERROR, type ProjectionTotals } from '../projections/projection.ts';

/** Differences told at most: a projection that is wrong is wrong in many places. */
const DIFFERENCES_MAX = 20;

/** Quantiles are told in whole milliseconds. */
const ROUNDING_MS = 1;

/** In what two copies differ that were counted up to the same offsets. */
export function differences(live: ProjectionTotals, rebuilt: ProjectionTotals): ProjectionDifference[] {
  const found: ProjectionDifference[] = [];
  for (const name of namesOf(live.sums, rebuilt.sums)) {
    const [a, b] = [live.sums[name] ?? 0n, rebuilt.sums[name] ?? 0n];
    if (a !== b) found.push({ name, live: `${a}`, rebuilt: `${b}` });
  }
  for (const name of namesOf(live.quantiles, rebuilt.quantiles)) {
    const [a, b] = [live.quantiles[name], rebuilt.quantiles[name]];
    if (a === undefined || b === undefined || !isNear(a, b)) found.push({ name, live: `${a}`, rebuilt: `${b}` });
  }
  return found.slice(0, DIFFERENCES_MAX);
}

/** Each of the two may be off by the sketch's error. */
function isNear(a: number, b: number): boolean {
  return Math.abs(a - b) <= 2 * QUANTILE_ERROR * Math.max(Math.abs(a), Math.abs(b)) + ROUNDING_MS;
}

const namesOf = (a: object, b: object) => new Set([...Object.keys(a), ...Object.keys(b)]);
