// @ts-check
// `npm test`: everything, in a namespace and on ports of its own.
import { SERVER_OPTIONS, SERVER_USAGE, runCommand } from './command.mjs';

const usage = `npm test [-- options]   runs every check and test

  --only=spec,int       some of format, lint, types, spec, int, e2e, bench, faults
${SERVER_USAGE}`;

await runCommand(
  { usage, options: { ...SERVER_OPTIONS, only: { type: 'string' } }, packages: 'install' },
  async ({ values, steps }) => (await import('./check.mjs')).check(steps, values),
);
