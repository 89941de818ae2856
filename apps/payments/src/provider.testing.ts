import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export interface ProviderEntry {
  id: string;
  reference: string;
  status: string;
  request: { kind: 'charge' | 'refund'; amount: number; charge?: string };
}

/** The provider as a process of its own, as it is for everybody. */
export class ProviderProcess {
  readonly #child: ChildProcess;
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(): Promise<ProviderProcess> {
    const node = ['--conditions=@tandem/source', '--import', `${ROOT}/tools/ts-hooks.mjs`, 'src/main.ts'];
    const child = spawn(process.execPath, node, {
      cwd: `${ROOT}/apps/provider`,
      env: { PATH: process.env['PATH'], PROVIDER_PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const port = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const [, found] = /port (\d+)/.exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
      child.on('exit', (code) => reject(new Error(`The provider ended with ${code}`)));
    });
    return new ProviderProcess(child, `http://127.0.0.1:${port}`);
  }

  /** How it behaves from now on: `Behaviour` of the provider. */
  async tell(behaviour: { behaviour: string; [setting: string]: string | number | undefined }): Promise<void> {
    const response = await fetch(`${this.url}/control`, { method: 'PUT', body: JSON.stringify(behaviour) });
    if (!response.ok) throw new Error(await response.text());
  }

  /** Everything that it has decided about an order. */
  async entriesOf(orderId: string): Promise<ProviderEntry[]> {
    const { entries } = (await (await fetch(`${this.url}/control`)).json()) as { entries: ProviderEntry[] };
    return entries.filter(({ reference }) => reference.startsWith(orderId));
  }

  /** A charge that was asked for by somebody else, under this key. */
  async charge(key: string, amount: number): Promise<string> {
    const response = await fetch(`${this.url}/v1/charges`, {
      method: 'POST',
      headers: { 'idempotency-key': key },
      body: JSON.stringify({ amount, currency: 'EUR', method: 'card' }),
    });
    return ((await response.json()) as { id: string }).id;
  }

  async stop(): Promise<void> {
    const exited = new Promise((exit) => this.#child.on('exit', exit));
    this.#child.kill('SIGKILL');
    await exited;
  }
}
