import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { root, tail } from '@tandem/tools/folder.mjs';

/** How every process here runs: from source, as the services do in development, without a watcher. */
export const NODE_OPTIONS = [
  '--conditions=@tandem/source',
  '--disable-warning=TimeoutNegativeWarning',
  '--import',
  join(root, 'tools', 'ts-hooks.mjs'),
];

export type Environment = Record<string, string>;

/** A process of a row. */
export interface Running {
  readonly name: string;
  readonly pid: number;
  readonly exited: Promise<number | null>;
  /** The last lines that it wrote. */
  said(): string;
  stop(): Promise<void>;
}

/** Starts processes, and ends all of them when asked. */
export class Processes {
  readonly #logs: string;
  readonly #profiling: string[];
  readonly #running = new Set<Running>();

  /**
   * @param logs the folder of their output.
   * @param profiles where each leaves a CPU profile when it ends, if it is to.
   */
  constructor(logs: string, profiles?: string) {
    this.#logs = logs;
    this.#profiling = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`];
  }

  /**
   * @param folder the working folder, below the repository's root.
   * @param entry the file to run, below that folder.
   */
  start(name: string, folder: string, entry: string, environment: Environment): Running {
    const log = join(this.#logs, `${name}.log`);
    const output = openSync(log, 'a');
    const named = this.#profiling.length === 0 ? [] : [`--cpu-prof-name=${name}.cpuprofile`];
    const child: ChildProcess = spawn(process.execPath, [...NODE_OPTIONS, ...this.#profiling, ...named, entry], {
      cwd: join(root, folder),
      env: { PATH: process.env['PATH'], LOG_LEVEL: 'warn', ...environment },
      stdio: ['ignore', output, output],
    });
    const exited = new Promise<number | null>((resolve) => {
      child.once('exit', resolve);
      child.once('error', () => resolve(null));
    });
    const stop = async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await exited;
      clearTimeout(timer);
    };
    const running: Running = { name, pid: child.pid ?? 0, exited, said: () => tail(log), stop };
    this.#running.add(running);
    void exited.then(() => this.#running.delete(running));
    return running;
  }

  /** Runs a program to its end. @throws Error with its last words when it fails. */
  async run(name: string, folder: string, entry: string, environment: Environment): Promise<void> {
    const running = this.start(name, folder, entry, environment);
    const code = await running.exited;
    if (code !== 0) throw new Error(`${name} ended with ${code}:\n${running.said()}`);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.stop()));
  }
}

/** Asks until the answer is true, and says what was waited for in vain. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  options: { timeoutMs?: number; everyMs?: number; about?: () => string } = {},
): Promise<void> {
  const { timeoutMs = 30_000, everyMs = 50, about = () => '' } = options;
  const lateAt = performance.now() + timeoutMs;
  let failure: unknown;
  for (;;) {
    try {
      if (await condition()) return;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > lateAt)
      throw new Error(`Waited ${timeoutMs} ms in vain until ${what}.\n${about()}`, { cause: failure });
    await new Promise((resume) => setTimeout(resume, everyMs));
  }
}
