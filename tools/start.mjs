// @ts-check
// `npm start`: brings everything up and keeps it up. This file runs before packages are installed; see packages.mjs.
import { installPackages, onRepositoryNode } from './packages.mjs';
import { fail } from './failure.mjs';
import { Steps } from './steps.mjs';

const steps = new Steps();
try {
  await installPackages(steps);
  if (await onRepositoryNode()) await (await import('./up.mjs')).up(steps, process.argv.slice(2));
} catch (error) {
  fail(error);
}
