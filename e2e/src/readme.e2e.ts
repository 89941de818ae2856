import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const script = /```bash\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
const gateway = new URL(process.env['GATEWAY_URL'] ?? 'http://127.0.0.1:3000').host;

describe('the README', () => {
  it('has commands that do what it says, in their order', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tandem-readme-'));
    // A key of this run's own: the one in the text may have been used before.
    const commands = script
      .replaceAll('localhost:3000', gateway)
      .replaceAll('cart-77', `readme-${Date.now()}`)
      .replaceAll(/\n(?=curl )/g, '\necho; ');
    try {
      // Nx asks its children for colours, which Node would put into the numbers that it prints.
      const env = { ...process.env, FORCE_COLOR: '0' };
      const { stdout } = await run('bash', ['-euc', commands], { cwd: folder, env, timeout: 30_000 });
      const answers = stdout
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line));
      const order = JSON.parse(readFileSync(join(folder, 'order.json'), 'utf8'));
      const [read, page, history, summary, revenue, products, lag, paused, resumed, cancelled, refusal] = answers;
      expect(order).toMatchObject({ status: 'placed', total: 2990 });
      expect(read).toEqual(order);
      expect(page.data[0]).toEqual(order);
      expect(history.data).toMatchObject([{ type: 'order.placed.v1', orderId: order.id }]);
      expect(summary.position).toBeGreaterThanOrEqual(order.position);
      expect(revenue.data.length).toBeGreaterThan(0);
      expect(products.data).toContainEqual(expect.objectContaining({ currency: 'EUR' }));
      expect(lag.partitions).toHaveLength(6);
      expect([paused, resumed]).toMatchObject([{ paused: true }, { paused: false }]);
      expect(cancelled).toMatchObject({ id: order.id, status: 'cancelled', version: 2 });
      const shown = JSON.parse(/```json\n([\s\S]*?)```/.exec(readme)?.[1] ?? '');
      expect(refusal).toMatchObject(shown);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('links to files that are there', () => {
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map(([, path]) => path as string);
    expect(links.length).toBeGreaterThan(10);
    const missing = links.filter((path) => {
      try {
        return readFileSync(new URL(`../../${path}`, import.meta.url)).length === 0;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code !== 'EISDIR';
      }
    });
    expect(missing).toEqual([]);
  });
});
