// @ts-check
// `npm start`: brings everything up and keeps it up. This file runs before packages are installed; see packages.mjs.
import { SERVER_OPTIONS, SERVER_USAGE, runCommand } from './command.mjs';

const usage = `npm start [-- options]   finds or starts the servers, migrates, serves every app until Ctrl-C

${SERVER_USAGE}`;

await runCommand({ usage, options: SERVER_OPTIONS, packages: 'install' }, async ({ values, steps }) =>
  (await import('./up.mjs')).up(steps, values),
);
