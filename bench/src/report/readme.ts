import { readFileSync, writeFileSync } from 'node:fs';
import type { PaymentsResult } from '../measures/payments.ts';
import { othersCores, type Results } from './results.ts';
import { ratioLines, rowLines, shown } from './table.ts';

const BEGIN = '<!-- bench -->';
const END = '<!-- /bench -->';

/** Writes the table between the two marks of the README; where they are missing, a section of its own before the layout. */
export function writeReadme(path: string, results: Results): void {
  const readme = readFileSync(path, 'utf8');
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  const table = `${BEGIN}\n\n${numbers(results)}\n${END}`;
  if (begin !== -1 && end > begin)
    return writeFileSync(path, readme.slice(0, begin) + table + readme.slice(end + END.length));
  const section = `## Numbers\n\n${table}\n\n`;
  writeFileSync(
    path,
    readme.includes('## Layout') ? readme.replace('## Layout', `${section}## Layout`) : readme + section,
  );
}

/** The rows, the ratios and how they were measured, in Markdown. */
export function numbers(results: Results): string {
  const { machine, date, versions } = results;
  const rows = rowLines(results).map(({ key, title, at, cpuMs, open }) => {
    const [one, , most] = at;
    const cells = [one?.p50, most?.ordersPerSecond, most?.p50, most?.p99, cpuMs, open?.p99];
    const mark = most?.isVoid ? ' (void)' : '';
    return [
      title.replace(key, `**${key}**`),
      ...cells.map((value) => (value === undefined ? '' : shown(value) + mark)),
    ];
  });
  const ratios = ratioLines(results).map(({ key, what, value, bar, holds }) => [
    `\`${key}\``,
    what,
    `${holds ? '' : '**'}${value}${holds ? '' : '**'}`,
    bar,
  ]);
  return [
    `\`npm run bench\` on ${machine.cores} cores (${machine.cpu}), everything on this one machine, ${date.slice(0, 10)}, commit ` +
      `${versions['commit']}. Orders/s, p50 and p99 in ms are medians of closed loops, good for comparing rows, and CPU is what ` +
      `servers and services take for one order, in ms; the last column is an open loop of 1,000 orders/s, timed from when each ` +
      `was due. In the rows of stock and floor nothing is stored.`,
    ...caveats(results),
    '',
    ...markdown(['row', 'p50, 1 connection', 'orders/s, 200', 'p50', 'p99', 'CPU', 'p99 at 1,000/s'], rows),
    '',
    ...markdown(['ratio', 'what', 'measured', 'bar'], ratios),
    ...payments(results),
    '',
    'Everything else (CPU and memory by process, each round, overload, instances) is in ' +
      '[latest.json](bench/results/latest.json) and [latest.html](bench/results/latest.html), what 1,000,000 orders a second ' +
      'would take in [growth.md](docs/growth.md).',
    '',
  ].join('\n');
}

/** What the work queues do, in one paragraph. */
function payments({ payments = [] }: Results): string[] {
  const [first] = payments;
  if (first === undefined) return [];
  const stood = Math.min(...payments.map(({ backlogLeft }) => backlogLeft));
  const each = (of: (one: PaymentsResult) => number) => payments.map((one) => shown(of(one))).join(', ');
  return [
    '',
    `Payments, of a provider that takes ${first.providerMs} ms, with ${each(({ workers }) => workers)} workers: ` +
      `${each((one) => one.paymentsPerSecond)} a second. From the placing of an express order to its payment, while ` +
      `${shown(stood)} standard ones or more waited: p99 ${each((one) => one.expressWaitP99Ms)} ms.`,
  ];
}

/** What a reader must know before he compares. */
function caveats(results: Results): string[] {
  const others = othersCores(results);
  return [
    ...(results.plan === 'full'
      ? []
      : ['', `**This was a ${results.plan} run, of one round: a first look, no measurement.**`]),
    ...(others > 0.1
      ? [
          '',
          `**Other programs kept ${others.toFixed(1)} of ${results.machine.cores} cores busy meanwhile**, which favours rows of few processes.`,
        ]
      : []),
  ];
}

/** A table as Prettier leaves it: columns padded to their widest cell. */
function markdown(head: string[], rows: string[][]): string[] {
  const widths = head.map((cell, column) =>
    Math.max(...[head, ...rows].map((row) => [...(row[column] ?? '')].length), 3, [...cell].length),
  );
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - [...cell].length)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}
