import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { get, GATEWAY_URL, post } from './http.testing.ts';
import { park } from './parked.testing.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** `npm run parked -- …`; Nx asks its children for colours. */
async function parked(...args: string[]): Promise<{ code: number; said: string }> {
  const env = { ...process.env, GATEWAY_URL, FORCE_COLOR: '0' };
  try {
    const { stdout } = await run('node', ['tools/parked.mjs', ...args], { cwd: root, env, timeout: 60_000 });
    return { code: 0, said: stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, said: stdout + stderr };
  }
}

describe('a message that nobody can read', () => {
  it('is listed, shown, tried again in vain and dropped, over HTTP', async () => {
    const id = await park('{"customerId"');
    const shown = await get(`/v1/admin/parked/${id}`);
    expect(shown.body).toMatchObject({
      state: 'parked',
      reason: 'not JSON in UTF-8',
      content: { text: '{"customerId"' },
    });
    const refused = await post(`/v1/admin/parked/${id}/redrive`, {});
    expect([refused.status, refused.body.code]).toEqual([409, 'redrive_refused']);
    const drop = { reason: 'a test' };
    expect((await post(`/v1/admin/parked/${id}/drop`, drop)).body).toMatchObject({ id, state: 'dropped' });
    // As good as done now.
    expect((await post(`/v1/admin/parked/${id}/drop`, drop)).status).toBe(200);
    expect((await post(`/v1/admin/parked/${id}/redrive`, {})).body).toMatchObject({
      status: 409,
      code: 'parked_settled',
    });
    expect((await get(`/v1/admin/parked/${id}`)).body.acts).toMatchObject([
      { act: 'redrive', outcome: 'refused', by: 'development' },
      { act: 'drop', outcome: 'done', by: 'development', reason: 'a test' },
    ]);
  });

  it('is the same through npm run parked', async () => {
    const id = await park('{"currency"');
    expect(await parked('list', '--service=orders')).toMatchObject({
      code: 0,
      said: expect.stringContaining(`${id} `),
    });
    expect(JSON.parse((await parked('show', id)).said)).toMatchObject({ id, content: { text: '{"currency"' } });
    expect(await parked('redrive', id, '--reason=a test')).toMatchObject({
      code: 1,
      said: expect.stringContaining('still cannot be read'),
    });
    expect(await parked('drop', id)).toMatchObject({ code: 1, said: expect.stringContaining('--reason=TEXT') });
    expect(await parked('drop', id, '--reason=a test')).toEqual({ code: 0, said: `${id}  dropped\n` });
    expect((await parked('list', '--service=orders')).said).not.toContain(`${id} `);
    expect((await parked('list', '--service=orders', '--state=dropped')).said).toContain(`${id} `);
    expect(await parked('show', 'orders-999999999999')).toMatchObject({
      code: 1,
      said: expect.stringContaining('There is no such parked message'),
    });
  });
});

it('a message whose handler is missing goes back to its queue, and the pages of what waits follow each other', async () => {
  const older = await park('{"pattern":"order.eat"}');
  const newer = await park('{"pattern":"order.eat"}');
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null && !seen.includes(older);) {
    const query = { service: 'orders', limit: '1', ...(cursor !== '' && { cursor }) };
    const { body } = await get('/v1/admin/parked', query);
    seen.push(...(body.data as { id: string }[]).map(({ id }) => id));
    cursor = body.nextCursor as string | null;
  }
  expect(seen.filter((id) => id === newer || id === older)).toEqual([newer, older]);
  expect(new Set(seen).size).toBe(seen.length);
  const ids = [older, newer];
  const { body } = await post('/v1/admin/parked/redrive', { ids, reason: 'a test' });
  expect(body).toEqual({ outcomes: ids.map((id) => ({ id, outcome: 'done' })), nextCursor: null, unanswered: [] });
  for (const id of ids)
    expect((await get(`/v1/admin/parked/${id}`)).body).toMatchObject({
      state: 'redriven',
      acts: [{ act: 'redrive', outcome: 'done', by: 'development', reason: 'a test' }],
    });
});
