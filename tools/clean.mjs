// @ts-check
// `npm run clean`: removes all data of this checkout, here and on servers that are not ours. Nothing else removes them.
import { confirm, runCommand } from './command.mjs';

const usage = `npm run clean [-- --yes]   removes all data of this checkout; asks first, unless --yes is given`;

const WHAT =
  'This removes everything that npm start has stored: orders, payments, the log, what was counted, the logs of services.';

// Removing queues and topics takes their clients.
await runCommand({ usage, options: { yes: { type: 'boolean' } }, packages: 'install' }, async ({ values, steps }) => {
  const { expectNothingRuns, foreignPlaces, removeEverything } = await import('./removal.mjs');
  expectNothingRuns();
  const what = [WHAT, ...foreignPlaces().map((place) => `  on ${place}`)].join('\n');
  await confirm(what, values['yes'], 'npm run clean -- --yes');
  await removeEverything(steps);
});
