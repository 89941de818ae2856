// @ts-check
// `npm run clean`: removes all data of this checkout, here and on servers that are not ours. Nothing else removes them.
import { fail } from './failure.mjs';
import { installPackages, onRepositoryNode } from './packages.mjs';
import { Steps } from './steps.mjs';

const steps = new Steps();
try {
  // Removing queues and topics takes their clients.
  await installPackages(steps);
  if (await onRepositoryNode()) await (await import('./removal.mjs')).removeEverything(steps);
} catch (error) {
  fail(error);
}
