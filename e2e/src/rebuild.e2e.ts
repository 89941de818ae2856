import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { get, GATEWAY_URL } from './http.testing.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** `npm run rebuild -- …`; Nx asks its children for colours. */
async function rebuild(...args: string[]): Promise<{ code: number; said: string }> {
  const env = { ...process.env, GATEWAY_URL, FORCE_COLOR: '0' };
  try {
    const { stdout } = await run('node', ['tools/rebuild.mjs', ...args], { cwd: root, env, timeout: 90_000 });
    return { code: 0, said: stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, said: stdout + stderr };
  }
}

describe('npm run rebuild', () => {
  it('lists what is counted', async () => {
    const { data } = (await get('/v1/admin/projections')).body as { data: { name: string }[] };
    const { code, said } = await rebuild();
    expect(code).toBe(0);
    for (const { name } of data) expect(said).toContain(name);
  });

  it('says how it is used', async () => {
    expect(await rebuild('--help')).toMatchObject({ code: 0, said: expect.stringContaining('--accept-differences') });
    expect(await rebuild('--everything')).toMatchObject({ code: 1, said: expect.stringContaining("'--everything'") });
  });

  it('counts every projection again from the log, finds the same, and swaps', async () => {
    const { data } = (await get('/v1/admin/projections')).body as { data: { name: string }[] };
    for (const { name } of data) {
      const { code, said } = await rebuild(name);
      expect({ name, code, said }).toMatchObject({ code: 0, said: expect.stringContaining('rebuilt from') });
      // What differs would be listed below.
      expect({ name, said }).toMatchObject({ said: expect.not.stringContaining('→') });
    }
  });

  it('cancels a rebuild that is under way, and leaves one that has ended as it is', async () => {
    const { code, said } = await rebuild('order-counts', '--cancel');
    expect({ code, said }).toMatchObject({ code: 0, said: expect.stringContaining('rebuild swapped') });
    expect(await rebuild('--cancel')).toMatchObject({ code: 1, said: expect.stringContaining('NAME --cancel') });
  });

  it('says which projections there are when it is given another name', async () => {
    expect(await rebuild('no-such-projection')).toMatchObject({ code: 1, said: expect.stringContaining('projection') });
  });
});
