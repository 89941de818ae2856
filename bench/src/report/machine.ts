import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { root } from '@tandem/tools/folder.mjs';
import type { Systems } from '../system.ts';

export function machine(): { cores: number; cpu: string; memoryGiB: number; platform: string } {
  const all = cpus();
  return {
    cores: all.length,
    cpu: all[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
  };
}

/** What ran. `commit` ends with `+` when files were changed since. */
export async function versions(systems: Systems): Promise<Record<string, string>> {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version?: string }>;
  };
  const packages = ['@nestjs/core', '@nestjs/microservices', 'amqplib', 'kafkajs', 'pg', 'autocannon'];
  const installed = packages.map((name) => [name, lock.packages[`node_modules/${name}`]?.version ?? 'unknown']);
  const [postgres] = await systems.query<{ server_version: string }>(
    systems.servers.POSTGRES_URL,
    'show server_version',
  );
  return {
    commit: commit(),
    node: process.version,
    postgres: postgres?.server_version ?? 'unknown',
    ...(Object.fromEntries(installed) as Record<string, string>),
  };
}

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
    const changed = git('status', '--porcelain', '--untracked-files=no', '--', 'apps', 'libs', 'bench/src');
    return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : '+'}`;
  } catch {
    return 'unknown';
  }
}
