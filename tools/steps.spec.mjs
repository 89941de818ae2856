// @ts-check
import { PassThrough } from 'node:stream';
import { StepFailed, Steps } from './steps.mjs';

/** @param {boolean} terminal */
function recorded(terminal) {
  const out = new PassThrough();
  const steps = new Steps(/** @type {any} */ (Object.assign(out, { isTTY: terminal, columns: 80 })));
  return { steps, text: () => String(out.read() ?? '') };
}

describe('a step', () => {
  it('is one line with its last note and its time', async () => {
    const { steps, text } = recorded(false);
    await steps.run('kafka', async (step) => {
      step.says('starting');
      step.says('answers');
    });
    expect(text()).toMatch(/^✔ kafka {6}answers {50,} +0\.\d s\n$/);
  });

  it('that fails says why on its line and throws on', async () => {
    const { steps, text } = recorded(false);
    const failing = steps.run('kafka', () => Promise.reject(new StepFailed('no JDK', 'install one')));
    await expect(failing).rejects.toMatchObject({ told: true });
    expect(text()).toMatch(/^✘ kafka {6}no JDK .*\n {4}install one\n$/);
  });

  it('shows colour and what is under way on a terminal only', async () => {
    for (const terminal of [true, false]) {
      const { steps, text } = recorded(terminal);
      await steps.run('slow', () => new Promise((resolve) => setTimeout(resolve, 250)));
      // Which tenth of a second it comes to show depends on how busy the machine is.
      expect(/… slow \d+\.\d s/.test(text())).toBe(terminal);
    }
  });

  it('has no colour when NO_COLOR is set', async () => {
    const before = process.env['NO_COLOR'];
    process.env['NO_COLOR'] = '1';
    const { steps, text } = recorded(true);
    await steps.run('quick', async () => undefined);
    if (before === undefined) delete process.env['NO_COLOR'];
    else process.env['NO_COLOR'] = before;
    expect(text()).not.toContain('\x1b[32m');
  });
});
