// @ts-check
// `npm run status`: what runs where. Exit status 0 when everything is ready, 1 otherwise.
import { runCommand } from './command.mjs';

const usage = `npm run status   what runs where; exit status 0 when everything is ready, 1 otherwise`;

await runCommand({ usage, packages: 'check' }, async () => (await import('./state.mjs')).printState());
