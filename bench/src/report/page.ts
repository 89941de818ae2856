import { othersCores, type Results } from './results.ts';
import { ratioLines, rowLines, shown, type RowLine } from './table.ts';

/** The whole run as one file without scripts, fonts or anything else from elsewhere. */
export function page(results: Results): string {
  const { date, plan, machine, versions, seconds } = results;
  const lines = rowLines(results);
  const of = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tandem: benchmark of ${date.slice(0, 10)}</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
  th:first-child, td:first-child { text-align: left; }
  td.short { color: #b00; font-weight: 600; }
  svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
  .wide { overflow-x: auto; }
</style>
</head>
<body>
<h1>Benchmark</h1>
<p>${text(`${date}, plan ${plan}, ${seconds} s, on ${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, ${machine.platform}. ${of.join(', ')}.`)}</p>
<p>${text(`Cores kept busy by other programs meanwhile: ${othersCores(results).toFixed(2)}.`)}</p>
${ratios(results)}
${lines
  .flatMap(({ at }) => at.map(({ connections }) => connections))
  .filter((connections, index, all) => all.indexOf(connections) === index)
  .map((connections) => {
    const bars = lines.flatMap(({ key, at }) => {
      const found = at.find((one) => one.connections === connections);
      return found === undefined
        ? []
        : [{ label: key + (found.isVoid ? ' (void)' : ''), value: found.ordersPerSecond }];
    });
    return plot(`Orders a second, ${connections} connection${connections === 1 ? '' : 's'}, closed loop`, bars);
  })
  .join('\n')}
${plot(
  'p50 of one connection in ms, closed loop',
  lines.flatMap(({ key, at }) => {
    const one = at.find(({ connections }) => connections === 1);
    return one === undefined ? [] : [{ label: key, value: one.p50 }];
  }),
)}
${plot(
  'p99 in ms at 1,000 orders a second, open loop, from when each was due',
  lines.flatMap(({ key, open }) => (open === undefined ? [] : [{ label: key, value: open.p99 }])),
)}
${plot(
  'CPU of servers and services for one order in ms, at the most connections',
  lines.map(({ key, cpuMs }) => ({ label: key, value: cpuMs })),
)}
<h2>Closed loops: medians of the rounds</h2>
${closedTable(lines)}
<h2>CPU seconds per 1,000 orders, by process, at the most connections</h2>
${processTable(lines, ({ cpuPer1000 }) => cpuPer1000)}
<h2>Resident memory in MiB, by process, without what is shared</h2>
${processTable(lines, ({ residentMiB }) => residentMiB)}
${others(results)}
</body>
</html>
`;
}

function ratios(results: Results): string {
  const lines = ratioLines(results);
  if (lines.length === 0) return '';
  const rows = lines.map(
    ({ key, what, value, bar, aim, holds }) =>
      `<tr><td>${key}</td><td>${text(what)}</td><td${holds ? '' : ' class="short"'}>${value}</td><td>${bar}</td><td>${aim}</td></tr>`,
  );
  return `<h2>Ratios</h2>\n${table(['key', 'what', 'measured', 'bar', 'aim'], rows)}`;
}

function closedTable(lines: RowLine[]): string {
  const rows = lines.flatMap(({ title, at }) =>
    at.map(
      ({ connections, ordersPerSecond, p50, p99, isVoid }) =>
        `<tr><td>${text(title)}${isVoid ? ' (void: the generator of load was the limit)' : ''}</td>` +
        [connections, ordersPerSecond, p50, p99].map((value) => `<td>${shown(value)}</td>`).join('') +
        '</tr>',
    ),
  );
  return table(['row', 'connections', 'orders/s', 'p50 ms', 'p99 ms'], rows);
}

function processTable(lines: RowLine[], of: (line: RowLine) => Record<string, number>): string {
  const names = [...new Set(lines.flatMap((line) => Object.keys(of(line))))];
  const rows = lines.map((line) => {
    const cells = names.map((name) => of(line)[name]);
    return `<tr><td>${line.key}</td>${cells.map((value) => `<td>${value === undefined ? '' : shown(value)}</td>`).join('')}</tr>`;
  });
  return table(['row', ...names], rows);
}

function others({ lag, log, growth, overload, instances, partitions, payments = [] }: Results): string {
  const parts: string[] = [];
  const list = (title: string, items: string[]) =>
    parts.push(`<h2>${text(title)}</h2>\n<ul>${items.map((item) => `<li>${text(item)}</li>`).join('')}</ul>`);
  if (lag !== undefined)
    list(`Accepted to counted, at ${shown(lag.rate)} orders a second`, [
      `p50 ${shown(lag.lag.p50)} ms, p99 ${shown(lag.lag.p99)} ms, ${shown(lag.lag.count)} events`,
      `the placements themselves: p50 ${shown(lag.round.latency.p50)} ms, p99 ${shown(lag.round.latency.p99)} ms`,
    ]);
  if (log !== undefined)
    parts.push(
      plot(`The log, events a second (${shown(log.events)} events of whole lives of orders)`, [
        { label: 'raw producer', value: log.rawProducer },
        { label: 'relay', value: log.relay },
        { label: 'raw consumer', value: log.rawConsumer },
        { label: 'replay', value: log.replay },
      ]),
    );
  if (growth !== undefined)
    list(
      'Growth: p50 with many stored orders against few',
      Object.entries(growth).map(
        ([operation, { fewP50, manyP50, ratio }]) =>
          `${operation}: ${shown(fewP50)} ms → ${shown(manyP50)} ms (${ratio.toFixed(2)})`,
      ),
    );
  if (overload !== undefined) {
    const { maximum, twice, connections, recoveryMs, gatewayMiB } = overload;
    list('Overload', [
      `maximum: ${shown(maximum.ordersPerSecond)} orders/s`,
      `at twice the maximum: ${shown(twice.ordersPerSecond)} orders/s, p99 of the accepted ${shown(twice.latency.p99)} ms, ` +
        `answers ${JSON.stringify(twice.statuses)}, never sent ${twice.late}`,
      `2,000 connections: ${shown(connections.ordersPerSecond)} orders/s, p99 ${shown(connections.latency.p99)} ms, answers ${JSON.stringify(connections.statuses)}`,
      `well again after ${shown(recoveryMs)} ms`,
      `gateway: ${gatewayMiB.before} → ${gatewayMiB.twice} → ${gatewayMiB.connections} MiB`,
    ]);
  }
  if (instances !== undefined)
    parts.push(
      plot(
        'Orders a second by instances of orders, on this one machine',
        Object.entries(instances).map(([count, value]) => ({ label: count, value })),
      ),
    );
  if (partitions !== undefined)
    parts.push(
      plot(
        'Orders a second by partitions of the log',
        Object.entries(partitions).map(([count, value]) => ({ label: count, value })),
      ),
    );
  if (instances !== undefined || partitions !== undefined) parts.push(HUNDREDFOLD);
  if (payments.length > 0) {
    parts.push(
      plot(
        'Payments a second by workers, of a provider that takes 50 ms',
        payments.map(({ workers, paymentsPerSecond }) => ({ label: String(workers), value: paymentsPerSecond })),
      ),
    );
    list(
      'From the placing of an express order to its payment, behind a backlog of standard ones',
      payments.map(
        ({ workers, backlog, backlogLeft, expressWaitP50Ms, expressWaitP99Ms }) =>
          `${workers} worker${workers === 1 ? '' : 's'}: p50 ${shown(expressWaitP50Ms)} ms, p99 ${shown(expressWaitP99Ms)} ms; ` +
          `${shown(backlogLeft)} of ${shown(backlog)} standard orders still stood unpaid when the last express one was paid`,
      ),
    );
  }
  return parts.join('\n');
}

function table(head: string[], rows: string[]): string {
  const cells = head.map((cell) => `<th>${text(cell)}</th>`).join('');
  return `<div class="wide"><table><thead><tr>${cells}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table></div>`;
}

const BAR_HEIGHT = 26;
const LABEL_WIDTH = 130;
const WIDTH = 900;

/** Horizontal bars; each says its value. */
function plot(title: string, bars: { label: string; value: number }[]): string {
  if (bars.length === 0) return '';
  const most = Math.max(...bars.map(({ value }) => value), 1e-9);
  const drawn = bars.map(({ label, value }, index) => {
    const y = index * BAR_HEIGHT;
    const width = Math.max(1, (value / most) * (WIDTH - LABEL_WIDTH - 90));
    const colour = label.startsWith('full') || label.startsWith('core') ? '#2a6f4e' : '#8aa0b5';
    return (
      `<text x="${LABEL_WIDTH - 8}" y="${y + 17}" text-anchor="end">${text(label)}</text>` +
      `<rect x="${LABEL_WIDTH}" y="${y + 4}" width="${width.toFixed(1)}" height="${BAR_HEIGHT - 8}" fill="${colour}"/>` +
      `<text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + 17}">${shown(value)}</text>`
    );
  });
  const alternative = bars.map(({ label, value }) => `${label} ${shown(value)}`).join(', ');
  return `<h2>${text(title)}</h2>
<svg viewBox="0 0 ${WIDTH} ${bars.length * BAR_HEIGHT}" role="img" aria-label="${text(alternative)}">${drawn.join('')}</svg>`;
}

const text = (value: string) =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const HUNDREDFOLD = `<p>1,000,000 orders a second are 50 shards of 20,000, by customer: each a PostgreSQL with a standby, a RabbitMQ
cluster, orders with a relay, and a topic of its own; beside them 70 cores of gateways, 30 of analytics and some 30 brokers of Kafka. 1.2 KB
an order are 100 TB a day in tables, so storage breaks first. The arithmetic is in <a href="../../docs/growth.md">docs/growth.md</a>.</p>`;
