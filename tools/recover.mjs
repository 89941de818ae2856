// @ts-check
// `npm run recover`: begins a new log after the database of orders was restored to an earlier state than the log.
import { spawnSync } from 'node:child_process';
import { fail } from './failure.mjs';
import { root } from './folder.mjs';
import { nx } from './services.mjs';
import { StepFailed, Steps } from './steps.mjs';

const WHAT = `This deletes the topics of the log and what analytics has counted, and builds both again from the events table of orders.
What the log held and the database does not know is gone. Everything may keep running meanwhile.`;

const steps = new Steps();
try {
  if (!process.argv.includes('--yes'))
    throw new StepFailed(`${WHAT}\nIf that is what you want: npm run recover -- --yes`);
  await steps.run('recover', async (step) => {
    step.says('new epoch, empty topics, nothing counted');
    const { status, stdout, stderr } = spawnSync(nx, ['run-many', '-t', 'recover', '--output-style=static'], {
      cwd: root,
      env: { ...process.env, NX_DAEMON: 'false' },
      encoding: 'utf8',
    });
    if (status !== 0) throw new StepFailed('the log could not be begun anew', `${stdout}\n${stderr}`.trim());
  });
  steps.note('✔', 'The relay publishes everything again; /v1/analytics/summary says how far it has been counted.');
} catch (error) {
  fail(error);
}
