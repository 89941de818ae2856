// @ts-check
import { StepFailed } from './steps.mjs';

/**
 * Ends a command that failed: exit status 1. What a step has explained already is not said again.
 *
 * @param {unknown} error
 */
export function fail(error) {
  process.exitCode = 1;
  if (error instanceof StepFailed && error.told) return;
  if (error instanceof StepFailed) console.error(`✘ ${[error.message, error.detail ?? ''].join('\n').trim()}`);
  else console.error(error);
}
