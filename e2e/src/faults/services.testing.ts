import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { remove } from '@tandem/tools/folder.mjs';
import { lastingPorts } from '@tandem/tools/ports.mjs';
import { until } from './waiting.testing.ts';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const NODE = [
  '--enable-source-maps',
  '--conditions=@tandem/source',
  '--disable-warning=TimeoutNegativeWarning',
  '--import',
  `${ROOT}/tools/ts-hooks.mjs`,
];

/** What a variable in the environment of a service loads into it. */
const PRELOADED = { CRASH_AT: 'crash-at.mjs', NEXT_VERSION: 'next-version.mjs' };

export type ServiceName = 'gateway' | 'orders' | 'analytics' | 'payments' | 'provider';

/** A new folder: in `FAULTS_FOLDER`, whose keeper ends what an interrupted test leaves, if it is set. */
export const newFolder = (name: string) =>
  mkdtempSync(join(process.env['FAULTS_FOLDER'] ?? tmpdir(), `tandem-${name}-`));

const logFolders: string[] = [];

/** Removes what services have said, once nobody asks any more. */
export function removeLogs(): void {
  for (const folder of logFolders.splice(0)) remove(folder);
}

/** A service as a process of its own. */
export interface OwnService {
  readonly name: ServiceName;
  readonly url: string;
  /** What it said so far. */
  log(): string;
  readiness(): Promise<Readiness & { httpStatus: number }>;
  untilReady(timeoutMs?: number): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  readonly exited: Promise<number | null>;
}

export interface Readiness {
  status: string;
  checks: Record<string, { status: string; reason?: string }>;
}

export interface Environment {
  [variable: string]: string;
}

/** Runs the setup of orders, of analytics and of payments. */
export async function setUp(environment: Environment): Promise<void> {
  await Promise.all((['orders', 'analytics', 'payments'] as const).map((name) => setUpOne(name, environment)));
}

async function setUpOne(name: ServiceName, environment: Environment): Promise<void> {
  const { code, log } = await runTool(name, 'src/setup.ts', environment);
  if (code !== 0) throw new Error(`The setup of ${name} ended with ${code}:\n${log}`);
}

/** Runs one of a service's own programs to its end. */
export async function runTool(
  name: ServiceName,
  entry: string,
  environment: Environment,
  ...args: string[]
): Promise<{ code: number | null; log: string }> {
  const { child, log } = run(name, entry, environment, args);
  const code = await new Promise<number | null>((exit) => child.on('exit', exit));
  return { code, log: log() };
}

/** Starts one instance of a service on a free port. */
export async function startService(name: ServiceName, environment: Environment): Promise<OwnService> {
  // Nobody's outgoing connection may have it by the time that the service listens.
  const [port] = await lastingPorts(1);
  const variable = `${name.toUpperCase()}_PORT`;
  const { child, log } = run(name, 'src/main.ts', { ...environment, [variable]: String(port) });
  const url = `http://127.0.0.1:${port}`;
  const exited = new Promise<number | null>((exit) => child.on('exit', exit));
  const service: OwnService = {
    name,
    url,
    log,
    exited,
    readiness: async () => {
      const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(3_000) });
      return { httpStatus: response.status, ...((await response.json()) as Readiness) };
    },
    untilReady: (timeoutMs = 90_000) => {
      const isReady = async () => {
        const { httpStatus, checks } = await service.readiness();
        if (httpStatus !== 200) throw new Error(JSON.stringify(checks));
        return true;
      };
      return until(`${name} is ready`, isReady, { timeoutMs, about: log });
    },
    kill: (signal) => void child.kill(signal),
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
  return service;
}

function run(
  name: ServiceName,
  entry: string,
  environment: Environment,
  args: readonly string[] = [],
): { child: ChildProcess; log: () => string } {
  const folder = newFolder(name);
  logFolders.push(folder);
  const path = join(folder, 'log');
  const output = openSync(path, 'a');
  const preloaded = Object.entries(PRELOADED).flatMap(([variable, file]) =>
    variable in environment ? ['--import', `${ROOT}/e2e/src/faults/${file}`] : [],
  );
  const child = spawn(process.execPath, [...NODE, ...preloaded, entry, ...args], {
    cwd: join(ROOT, 'apps', name),
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  return { child, log: () => readFileSync(path, 'utf8').slice(-5_000) };
}
