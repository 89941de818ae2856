// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { remove, tail } from './folder.mjs';
import { freePorts, isFree } from './ports.mjs';
import { endGroup, family, identify, isAlive, members, run } from './processes.mjs';

/** A process group whose leader ignores SIGTERM and has a child. */
async function stubborn() {
  const script = `process.on('SIGTERM', () => {});
    require('node:child_process').spawn('sleep', ['30'], { stdio: 'ignore' }); console.log('up'); setInterval(() => {}, 1000)`;
  const child = spawn(process.execPath, ['-e', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  return /** @type {number} */ (child.pid);
}

describe('a process', () => {
  it('is recognised by its id and its start time', () => {
    const mine = identify(process.pid);
    expect(isAlive(mine)).toBe(true);
    expect(isAlive({ pid: process.pid, started: 'another time' })).toBe(false);
    expect(identify(undefined)).toBeUndefined();
  });

  // The leader of a group of threads is a zombie from its own end on, while the others still end.
  it('is alive until the last of its threads has let go of its port', async () => {
    const [port = 0] = await freePorts(1);
    const busy = `require('node:worker_threads').parentPort.postMessage(0); for (const held = Buffer.alloc(3e7, 1);;) held[0]++`;
    const script = `let up = 0;
      const worker = () => new (require('node:worker_threads').Worker)(${JSON.stringify(busy)}, { eval: true });
      const say = () => ++up === 8 && console.log('up');
      require('node:net').createServer().listen(${port}, '127.0.0.1', () => {
        for (let count = 0; count < 8; count += 1) worker().on('message', say);
      });`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const busyOne = identify(child.pid);
    child.kill('SIGKILL');
    while (isAlive(busyOne));
    expect(await isFree(port)).toBe(true);
  });

  it('is found with its descendants', async () => {
    const pid = await stubborn();
    expect(family(pid).map((one) => one.parent)).toEqual([process.pid, pid]);
    await endGroup(pid, { graceMs: 0 });
  });
});

describe('ending a group', () => {
  it('kills what ignores SIGTERM once the grace is over', async () => {
    const pid = await stubborn();
    const began = performance.now();
    expect(await endGroup(pid, { graceMs: 300 })).toBe(false);
    expect(performance.now() - began).toBeGreaterThanOrEqual(290);
    expect(members(pid)).toEqual([]);
  });

  it('does not wait any longer when it becomes urgent', async () => {
    const pid = await stubborn();
    const began = performance.now();
    const urgent = new AbortController();
    setTimeout(() => urgent.abort(), 50);
    await endGroup(pid, { graceMs: 20_000, urgent: urgent.signal });
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(members(pid)).toEqual([]);
  });

  it('takes a group that is gone for ended', async () => {
    expect(await endGroup(2 ** 22 + 1, { graceMs: 1_000 })).toBe(true);
  });
});

describe('running a command', () => {
  it('gives its exit code and all it said', async () => {
    expect(await run('sh', ['-c', 'echo out; echo err >&2; exit 3'], { timeoutMs: 5_000 })).toEqual({
      code: 3,
      output: expect.stringMatching(/^(out\nerr|err\nout)\n$/),
    });
  });

  it('answers 127 for a command that is missing', async () => {
    expect((await run('no-such-command', [], { timeoutMs: 5_000 })).code).toBe(127);
  });

  it('ends it, children too, when it takes too long', async () => {
    const { code, output } = await run('sh', ['-c', 'sleep 30 & wait'], { timeoutMs: 100 });
    expect(code).toBe(124);
    expect(output).toContain('ended after 0.1 s');
  });

  it('ends it with children of other groups too, and returns when none is left', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tandem-processes-'));
    const path = join(folder, 'pid');
    const script = `const child = require('node:child_process').spawn('sleep', ['30'], { detached: true, stdio: 'ignore' });
      require('node:fs').writeFileSync(${JSON.stringify(path)}, String(child.pid)); setInterval(() => {}, 1000)`;
    const started = new AbortController();
    const looking = setInterval(() => tail(path) !== '' && started.abort(), 20);
    await run(process.execPath, ['-e', script], { timeoutMs: 30_000, signal: started.signal });
    clearInterval(looking);
    const child = Number(tail(path));
    remove(folder);
    expect(child).toBeGreaterThan(1);
    expect(identify(child)).toBeUndefined();
  });
});
