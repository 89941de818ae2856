// @ts-check
// `npm run recover`: begins a new log after the database of orders was restored to an earlier state than the log.
import { spawnSync } from 'node:child_process';
import { confirm, runCommand } from './command.mjs';
import { root } from './folder.mjs';
import { StepFailed } from './steps.mjs';

const usage = `npm run recover [-- --yes]   begins a new log from the database of orders; asks first, unless --yes is given`;

const WHAT = `This deletes the topics of the log and what analytics has counted, and builds both again from the events table of orders.
What the log held and the database does not know is gone. Everything may keep running meanwhile.`;

await runCommand({ usage, options: { yes: { type: 'boolean' } }, packages: 'check' }, async ({ values, steps }) => {
  await confirm(WHAT, values['yes'], 'npm run recover -- --yes');
  const { nx } = await import('./services.mjs');
  await steps.run('recover', async (step) => {
    step.says('new epoch, empty topics, nothing counted');
    const args = ['run-many', '-t', 'recover', '--output-style=static', '--yes'];
    const { status, stdout, stderr } = spawnSync(nx, args, {
      cwd: root,
      env: { ...process.env, NX_DAEMON: 'false' },
      encoding: 'utf8',
    });
    if (status !== 0) throw new StepFailed('the log could not be begun anew', `${stdout}\n${stderr}`.trim());
  });
  steps.note('✔', 'The relay publishes everything again; /v1/analytics/summary says how far it has been counted.');
});
