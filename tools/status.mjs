// @ts-check
// `npm run status`: what runs where. Exit status 0 when everything is ready, 1 otherwise.
import { fail } from './failure.mjs';
import { onRepositoryNode, packagesMissing } from './packages.mjs';
import { StepFailed } from './steps.mjs';

try {
  const missing = packagesMissing();
  if (missing)
    throw new StepFailed(`nothing runs: the packages are not installed (${missing}). npm start installs them.`);
  if (await onRepositoryNode()) await (await import('./state.mjs')).printState();
} catch (error) {
  fail(error);
}
