// @ts-check
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PassThrough } from 'node:stream';
import { confirm } from './command.mjs';
import { remove, root } from './folder.mjs';

/** Every npm script that is one of these commands. */
const scripts = Object.entries(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts);
const commands = scripts.flatMap(
  ([name, script]) => /tools\/\S+\.mjs/.exec(String(script))?.map((file) => [name, file]) ?? [],
);

/** @param {string} file @param {string[]} args */
function run(file, ...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [resolve(root, file), ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('every command', () => {
  it('is found among the npm scripts', () => {
    expect(commands.map(([name]) => name)).toEqual(
      expect.arrayContaining(['start', 'clean', 'recover', 'test', 'bench']),
    );
  });

  it.each(commands)('npm run %s prints its usage for --help and does nothing else', (name, file) => {
    const { status, stdout, stderr } = run(/** @type {string} */ (file), '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^npm (run )?${name}\\b`));
  });

  it.each(commands)('npm run %s refuses an option that it does not know, with its usage', (name, file) => {
    const { status, stdout, stderr } = run(/** @type {string} */ (file), '--bogus');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(new RegExp(`Unknown option '--bogus'.*npm (run )?${name}\\b`, 's'));
  });
});

describe('a command that destroys data', () => {
  /** A checkout of its own: the data at stake are not anybody's. @type {string} */
  let checkout;
  beforeEach(() => {
    checkout = mkdtempSync(join(tmpdir(), 'tandem-checkout-'));
    cpSync(join(root, 'tools'), join(checkout, 'tools'), { recursive: true });
    for (const name of ['node_modules', 'libs', 'package.json', 'package-lock.json'])
      symlinkSync(join(root, name), join(checkout, name));
    mkdirSync(join(checkout, '.tandem'));
    writeFileSync(join(checkout, '.tandem', 'data'), 'precious');
  });
  afterEach(() => remove(checkout));

  it.each([
    ['clean', 'tools/clean.mjs'],
    ['recover', 'tools/recover.mjs'],
  ])('npm run %s without a terminal and without --yes destroys nothing and says how it would', (name, file) => {
    const { status, stderr } = run(join(checkout, file));
    expect(status).toBe(1);
    expect(stderr).toContain(`npm run ${name} -- --yes`);
    expect(existsSync(join(checkout, '.tandem', 'data'))).toBe(true);
  });

  it('npm run clean destroys what is there when --yes is given', () => {
    expect(run(join(checkout, 'tools/clean.mjs'), '--yes').status).toBe(0);
    expect(existsSync(join(checkout, '.tandem'))).toBe(false);
  });

  /** @param {string} answer */
  const terminal = (answer) => {
    const [input, output] = [new PassThrough(), new PassThrough()].map((one) => Object.assign(one, { isTTY: true }));
    input?.end(`${answer}\n`);
    return /** @type {any} */ ({ input, output });
  };

  it('goes on when the answer on the terminal is yes', async () => {
    await expect(confirm('All is lost.', false, 'again', terminal('yes'))).resolves.toBeUndefined();
  });

  it('does nothing when there is no answer, as after Ctrl-D', async () => {
    const closed = terminal('');
    closed.input.end();
    await expect(confirm('All is lost.', false, 'again', closed)).rejects.toThrow('Nothing was done.');
  });

  it.each(['', 'y', 'no'])('does nothing when the answer on the terminal is %j', async (answer) => {
    await expect(confirm('All is lost.', false, 'again', terminal(answer))).rejects.toThrow('Nothing was done.');
  });
});
