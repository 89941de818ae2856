import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const TOOLS = fileURLToPath(new URL('../../../tools/ts-hooks.mjs', import.meta.url));
const SUBJECT = new URL('./stop-on-signal.ts', import.meta.url).href;

/** A service that says what it does, and what of it waits for a line of its input. */
async function run(
  body: string,
  signals: (say: (line: string) => void, kill: (signal: NodeJS.Signals) => void) => void,
) {
  const script = `
    const { runUntilSignal } = await import('${SUBJECT}');
    const { createInterface } = await import('node:readline');
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const heard = async () => (await lines.next()).value;
    const say = (text) => process.stdout.write(text + '\\n');
    ${body}`;
  const child = spawn(process.execPath, ['--import', TOOLS, '--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  let said = '';
  child.stdout.on('data', (data) => {
    said += String(data);
    if (said === 'starting\n')
      signals(
        (line) => child.stdin.write(`${line}\n`),
        (signal) => child.kill(signal),
      );
  });
  const [code, signal] = await once(child, 'exit');
  return { said: said.trim().split('\n'), code, signal };
}

describe('a service that is told to stop', () => {
  it('while it starts, and again and again, starts whole, finishes what is under way, and ends well', async () => {
    const body = `runUntilSignal(async () => {
      say('starting');
      say('started ' + (await heard()));
      return async () => say('stopped ' + (await heard()));
    }, 20_000)`;
    const result = await run(body, (say, kill) => {
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM'] as const) kill(signal);
      // Well after the signals.
      setTimeout(() => say('late'), 300);
      setTimeout(() => kill('SIGTERM'), 400);
      setTimeout(() => say('whole'), 600);
    });
    expect(result).toEqual({ said: ['starting', 'started late', 'stopped whole'], code: 0, signal: null });
  });

  it('and hangs is cut off, and says so in its exit code', async () => {
    const body = `runUntilSignal(async () => { say('starting'); return () => new Promise(() => setInterval(() => 0, 1_000)); }, 200)`;
    expect(await run(body, (_say, kill) => kill('SIGTERM'))).toMatchObject({ code: 1, signal: null });
  });

  it('and cannot start ends with its error', async () => {
    const body = `say('starting'); runUntilSignal(() => Promise.reject(new Error('no port')), 200)`;
    expect(await run(body, () => undefined)).toMatchObject({ code: 1 });
  });
});
