import { readFileSync } from 'node:fs';
import { family } from '@tandem/tools/processes.mjs';

/** What a program, all its processes together, has used since it was started. */
export interface Usage {
  cpuSeconds: number;
  residentMiB: number;
}

/** Clock ticks a second; 100 on every Linux that Node runs on: sysconf(3). */
const TICKS = 100;
const PAGE_MIB = 4096 / 2 ** 20;

/** What a process and all that descend from it have used, those that have ended too; Linux only, elsewhere zeros. */
export function usageOf(pid: number): Usage {
  const usage = { cpuSeconds: 0, residentMiB: 0 };
  if (process.platform !== 'linux') return usage;
  family(pid).forEach((member, index) => {
    try {
      const stat = readFileSync(`/proc/${member.pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const ticks = (field: number) => Number(fields[field - 3]);
      usage.cpuSeconds += (ticks(14) + ticks(15)) / TICKS;
      // Children that were waited for: only of the first, or grandchildren would count twice.
      if (index === 0) usage.cpuSeconds += (ticks(16) + ticks(17)) / TICKS;
      usage.residentMiB += residentMiB(member.pid);
    } catch {
      // It ended while it was looked at.
    }
  });
  return usage;
}

/** Without what is shared: PostgreSQL's backends map the same buffers. statm of proc_pid_statm(5). */
function residentMiB(pid: number): number {
  const [, resident = 0, shared = 0] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ').map(Number);
  return (resident - shared) * PAGE_MIB;
}

/** Seconds of CPU that the whole machine has spent not idle. */
export function machineCpuSeconds(): number {
  if (process.platform !== 'linux') return 0;
  const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return (user + nice + system + irq + softirq + steal) / TICKS;
}
