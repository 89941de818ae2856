// @ts-check
// `npm test`: everything, in a namespace and on ports of its own. `--only=format,lint,types,spec,int,e2e,bench,faults` chooses.
import { fail } from './failure.mjs';
import { installPackages, onRepositoryNode } from './packages.mjs';
import { Steps } from './steps.mjs';

const steps = new Steps();
try {
  await installPackages(steps);
  if (await onRepositoryNode()) await (await import('./check.mjs')).check(steps, process.argv.slice(2));
} catch (error) {
  fail(error);
}
