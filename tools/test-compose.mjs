// @ts-check
// `npm run test:compose`: the whole system in containers, in a project, on ports and volumes of its own, which are removed
// afterwards. The end-to-end suite runs in a container; then everything is killed, comes back with its data, and stops.
// Needs Docker, and nothing from node_modules.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, writeSync } from 'node:fs';
import { devNull, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual, stripVTControlCharacters } from 'node:util';
import { runCommand } from './command.mjs';
import { logs, readJson, remove, root } from './folder.mjs';
import { onInterrupt } from './interrupt.mjs';
import { lastingPorts } from './ports.mjs';
import { endGroup, identify, openLog, run } from './processes.mjs';
import { projectOf, purge, unavailable } from './servers/docker.mjs';
import { StepFailed, Steps, indent } from './steps.mjs';
import { add, inWords } from './totals.mjs';

/** @typedef {import('./steps.mjs').Step} Step @typedef {import('./totals.mjs').Totals} Totals */

const BUILD_TIMEOUT_MS = 1_200_000;
const UP_TIMEOUT_MS = 300_000;
const SUITE_TIMEOUT_MS = 900_000;
const STOP_TIMEOUT_MS = 120_000;
const REQUEST_TIMEOUT_MS = 15_000;

/** What a graceful stop exits with; a Java machine that was asked to end says 128 + SIGTERM. */
const GRACEFUL = {
  gateway: 0,
  orders: 0,
  payments: 0,
  analytics: 0,
  provider: 0,
  postgres: 0,
  rabbitmq: 0,
  kafka: 143,
};

// Named by process, so that a later run finds what a killed one has left.
const projects = projectOf('e2e-');
const project = `${projects}${process.pid}`;
const suiteContainer = `${project}-suite`;
const log = join(logs, 'compose.log');

/** Tests of the suite failed: what comes after it may still be tried. */
class SuiteFailed extends StepFailed {
  /** @param {Totals} totals @param {string} detail */
  constructor(totals, detail) {
    super(inWords(totals), detail);
    this.totals = totals;
  }
}

const steps = new Steps();
const { stop, urgent } = onInterrupt();

const usage = `npm run test:compose   runs the whole system in containers: end-to-end tests, kill -9, orderly stop`;

await runCommand({ usage, packages: 'ignore' }, async () => {
  const why = await unavailable();
  if (why !== undefined) throw new StepFailed(`test:compose needs a Docker engine with compose: ${why}`);
  await main();
});

async function main() {
  const [gateway, postgres, rabbitmq, management, kafka] = (await lastingPorts(5)).map(String);
  const compose = composeWith({
    GATEWAY_PORT: gateway,
    POSTGRES_PORT: postgres,
    RABBITMQ_PORT: rabbitmq,
    RABBITMQ_MANAGEMENT_PORT: management,
    KAFKA_PORT: kafka,
    // Not the defaults, so that a place that holds one by itself shows.
    POSTGRES_PASSWORD: randomBytes(8).toString('hex'),
    RABBITMQ_USER: 'tandem',
    RABBITMQ_PASSWORD: randomBytes(8).toString('hex'),
    NAMESPACE: '',
    LOG_LEVEL: 'info',
  });
  /** @type {Totals} */
  let totals = { passed: 0, failed: 0, skipped: 0 };
  /**
   * Runs a step and counts it: as its tests where it has some, else as one.
   *
   * @param {string} name
   * @param {(step: Step) => Promise<Totals | void>} work
   * @returns {Promise<boolean>} whether what comes after it makes sense
   */
  const count = async (name, work) => {
    if (stop.aborted) return false;
    try {
      totals = add(totals, (await steps.run(name, work)) ?? { passed: 1 });
      return true;
    } catch (error) {
      if (stop.aborted) return false;
      if (!(error instanceof StepFailed)) steps.print(indent(String(/** @type {Error} */ (error)?.stack ?? error)));
      totals = add(totals, error instanceof SuiteFailed ? error.totals : { failed: 1 });
      return error instanceof SuiteFailed;
    }
  };

  await removeDeadRuns();
  try {
    const done =
      (await count('build', (step) => build(step, compose))) &&
      (await count('start', (step) => start(step, compose))) &&
      (await count('e2e', (step) => runSuite(step, compose))) &&
      (await count('kill -9', (step) => comesBack(step, compose, `http://127.0.0.1:${gateway}`))) &&
      (await count('stop', () => stopGracefully(compose)));
    if ((!done || totals.failed > 0) && !stop.aborted) await showLogs(compose);
  } finally {
    await steps.run('down', () => down(compose)).catch(() => (totals = add(totals, { failed: 1 })));
  }
  process.exitCode = stop.aborted ? 130 : totals.failed > 0 ? 1 : 0;
  if (stop.aborted) steps.note('✘', 'interrupted');
  steps.print(inWords(totals));
}

/** @param {Step} step @param {Compose} compose */
async function build(step, compose) {
  const onLine = (/** @type {string} */ line) => {
    const stage = /^#\d+ \[(?:\S+ )?(\S+ +\d+\/\d+)\] /.exec(line)?.[1];
    if (stage !== undefined) step.says(stage);
  };
  await compose(['--profile', 'e2e', '--progress', 'plain', 'build'], {
    timeoutMs: BUILD_TIMEOUT_MS,
    onLine,
    signal: stop,
  });
  step.says('');
}

/** Brings everything up and waits until all of it is healthy. @param {Step} step @param {Compose} compose */
async function start(step, compose) {
  /** @type {Set<string>} */
  const healthy = new Set();
  const onLine = (/** @type {string} */ line) => {
    const name = /^\s*Container (\S+)\s+Healthy/.exec(line)?.[1];
    if (name !== undefined) step.says(`${healthy.add(name).size} healthy`);
  };
  await compose(['up', '--detach', '--wait', '--no-build'], { timeoutMs: UP_TIMEOUT_MS, onLine, signal: stop });
}

/**
 * Runs the end-to-end suite in its container.
 *
 * @param {Step} step
 * @param {Compose} compose
 * @returns {Promise<Totals>}
 * @throws {SuiteFailed} with what Jest said, when a test failed or the suite did not get to its end
 */
async function runSuite(step, compose) {
  /** @type {string[]} */
  const said = [];
  const onLine = (/** @type {string} */ line) => {
    said.push(line);
    const file = /^(?:PASS|FAIL)\b.* (\S+\.e2e\.ts)/.exec(line)?.[1];
    if (file !== undefined) step.says(file);
  };
  const args = ['--profile', 'e2e', 'run', '--no-deps', '--no-TTY', '--name', suiteContainer, 'e2e'];
  const failure = await compose(args, { timeoutMs: SUITE_TIMEOUT_MS, onLine, signal: stop }).then(
    () => undefined,
    (error) => error,
  );
  if (stop.aborted) throw failure;
  const totals = await suiteTotals();
  // A suite that ends badly with no failed test (a crash, nothing found to run) is a failure of its own.
  const bad = failure !== undefined || totals.passed === 0;
  const counted = bad && totals.failed === 0 ? add(totals, { failed: 1 }) : totals;
  if (counted.failed > 0) throw new SuiteFailed(counted, said.slice(-150).join('\n'));
  step.says(inWords(counted));
  return counted;
}

/** What the reporter of the suite left in its container. @returns {Promise<Totals>} */
async function suiteTotals() {
  const place = mkdtempSync(join(tmpdir(), 'tandem-e2e-'));
  try {
    const from = `${suiteContainer}:/workspace/e2e/out-tests/.`;
    await run('docker', ['cp', from, place], { timeoutMs: 30_000 });
    const files = readdirSync(place).filter((name) => name.endsWith('.json'));
    return files
      .map((name) => readJson(join(place, name)) ?? { failed: 1 })
      .reduce(add, { passed: 0, failed: 0, skipped: 0 });
  } finally {
    remove(place);
  }
}

/**
 * Kills every container at once and brings them up again: what was answered, and what was counted, must still be there.
 *
 * @param {Step} step
 * @param {Compose} compose
 * @param {string} gateway
 */
async function comesBack(step, compose, gateway) {
  const body = { customerId: 'c-kill', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };
  const place = () => ask(`${gateway}/v1/orders`, { body, headers: { 'idempotency-key': project } });
  const placed = await place();
  if (placed.status !== 201) throw new StepFailed(`no order placed: ${placed.status}`, placed.text);
  const paid = await untilPaid(gateway, placed.json.id);
  const summary = await counted(gateway, paid.position);

  step.says('killing');
  await compose(['kill'], { timeoutMs: STOP_TIMEOUT_MS, signal: stop });
  await start(step, compose);

  const read = await ask(`${gateway}/v1/orders/${placed.json.id}`);
  if (!isDeepStrictEqual(read.json, paid)) throw new StepFailed('the order is not what it was', read.text);
  const again = await place();
  const replayed = again.status === 201 && again.headers.get('idempotency-replayed') === 'true';
  if (!replayed || !isDeepStrictEqual(again.json, placed.json)) {
    throw new StepFailed('placing it again did not give the same order', `${again.status} ${again.text}`);
  }
  const summaryNow = await counted(gateway, paid.position);
  if (!isDeepStrictEqual(ofPlacing(summaryNow), ofPlacing(summary)) || summaryNow.orders.paid < summary.orders.paid) {
    throw new StepFailed('the summary is not what it was', `${JSON.stringify(summary)}\n${JSON.stringify(summaryNow)}`);
  }
  step.says('all containers; the order, its payment and its count came back');
}

/** The order once it is paid, which changes no more by itself. @param {string} gateway @param {string} id */
async function untilPaid(gateway, id) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { json, text } = await ask(`${gateway}/v1/orders/${id}`);
    if (json?.status === 'paid') return json;
    if (Date.now() > deadline || stop.aborted) throw new StepFailed(`the order is not paid`, text);
    await sleep(250);
  }
}

/**
 * What a summary says of orders that were placed. The suite leaves unpaid orders behind, which are being paid meanwhile: only
 * the numbers of payments may grow.
 *
 * @param {any} summary
 */
function ofPlacing({ orders, revenue }) {
  const sums = revenue.map((/** @type {any} */ { currency, placedAmount }) => ({ currency, placedAmount }));
  return { placed: orders.placed, cancelled: orders.cancelled, sums };
}

/** The summary once it holds this position. @param {string} gateway @param {number} position */
async function counted(gateway, position) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { status, json, text } = await ask(`${gateway}/v1/analytics/summary?after=${position}`);
    if (status === 200) return json;
    if (Date.now() > deadline || stop.aborted) throw new StepFailed(`position ${position} is not counted`, text);
    await sleep(250);
  }
}

/** @param {string} url @param {{ body?: unknown, headers?: Record<string, string> }} [request] posted when it has a body */
async function ask(url, { body, headers } = {}) {
  const sent =
    body === undefined
      ? {}
      : { method: 'POST', body: JSON.stringify(body), headers: { ...headers, 'content-type': 'application/json' } };
  const response = await fetch(url, { ...sent, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
}

/** Asks everything to stop; whoever had to be killed, or failed on the way out, shows in its exit code. @param {Compose} compose */
async function stopGracefully(compose) {
  await compose(['stop'], { timeoutMs: STOP_TIMEOUT_MS, signal: stop });
  const ended = await compose(['ps', '--all', '--format', '{{.Service}} {{.ExitCode}}'], { timeoutMs: 30_000 });
  const wrong = Object.entries(GRACEFUL).filter(([name, code]) => !ended.includes(`${name} ${code}`));
  if (wrong.length > 0) {
    throw new StepFailed(`not stopped gracefully: ${wrong.map(([name]) => name).join(', ')}`, ended.join('\n'));
  }
}

/** What the services said last, for whoever has to find out why. @param {Compose} compose */
async function showLogs(compose) {
  const programs = ['orders-setup', 'analytics-setup', 'payments-setup', 'orders', 'payments', 'analytics', 'gateway'];
  const last = await compose(['logs', '--no-color', '--tail', '15', ...programs], {
    timeoutMs: 30_000,
  }).catch(() => []);
  // The whole of it for the file.
  await compose(['logs', '--no-color'], { timeoutMs: 60_000 }).catch(() => undefined);
  steps.print(`last lines of the services:\n${indent(last.join('\n'))}\nthe rest: ${relative(root, log)}`);
}

/** Removes everything of ours; what loses its volumes has nothing to finish. @param {Compose} compose */
async function down(compose) {
  await run('docker', ['rm', '--force', suiteContainer], { timeoutMs: 30_000 });
  await compose(['kill'], { timeoutMs: STOP_TIMEOUT_MS });
  await compose(['--profile', 'e2e', 'down', '--volumes', '--remove-orphans'], { timeoutMs: STOP_TIMEOUT_MS });
  await removeImages(project);
}

/** Images only carry names here: what they are made of stays in the build cache. @param {string} name of a project */
async function removeImages(name) {
  await run('docker', ['image', 'rm', '--force', `${name}-services`, `${name}-e2e`], { timeoutMs: 30_000 });
}

/** Removes what runs of this checkout have left that were killed. */
async function removeDeadRuns() {
  const filter = ['--filter', 'label=com.docker.compose.project'];
  const format = ['--format', '{{.Label "com.docker.compose.project"}}'];
  const containers = await run('docker', ['ps', '--all', ...filter, ...format], { timeoutMs: 30_000 });
  const volumes = await run('docker', ['volume', 'ls', ...filter, ...format], { timeoutMs: 30_000 });
  const names = new Set(`${containers.output}\n${volumes.output}`.split('\n').map((line) => line.trim()));
  for (const name of names) {
    if (!name.startsWith(projects) || identify(Number(name.slice(projects.length))) !== undefined) continue;
    await purge(name);
    await removeImages(name);
    steps.note('!', `removed ${name}, which an earlier run had left`);
  }
}

/** @typedef {ReturnType<typeof composeWith>} Compose */

/**
 * Commands of docker compose in our project; all that they say goes to the log.
 *
 * @param {Record<string, string | undefined>} variables for docker-compose.yml; `.env` is not read
 */
function composeWith(variables) {
  const output = openLog(log);
  const env = { ...process.env, ...variables, COMPOSE_PROFILES: '' };
  const always = [
    'compose',
    '--env-file',
    devNull,
    '--ansi',
    'never',
    '-p',
    project,
    '-f',
    join(root, 'docker-compose.yml'),
  ];
  /**
   * @param {string[]} args
   * @param {{ timeoutMs: number, onLine?: (line: string) => void, signal?: AbortSignal }} options
   * @returns {Promise<string[]>} what it printed
   * @throws {StepFailed} with its last lines
   */
  return async (args, { timeoutMs, onLine, signal }) => {
    writeSync(output, `\n$ docker compose ${args.join(' ')}\n`);
    // A group of its own: a Ctrl-C on the terminal is ours to pass on.
    const child = spawn('docker', [...always, ...args], {
      env,
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    /** @type {string[]} */
    const lines = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (raw) => {
        const line = stripVTControlCharacters(raw);
        lines.push(line);
        writeSync(output, `${line}\n`);
        onLine?.(line);
      });
    }
    let why = '';
    const end = (/** @type {string} */ reason) => {
      why ||= reason;
      if (child.pid !== undefined) void endGroup(child.pid, { graceMs: 10_000, urgent });
    };
    const timer = setTimeout(() => end(`took longer than ${timeoutMs / 1000} s`), timeoutMs);
    const onAbort = () => end('interrupted');
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const code = await new Promise((resolve) => {
      child.on('error', (error) => {
        why ||= error.message;
        resolve(127);
      });
      child.on('close', (status) => resolve(status ?? 1));
    });
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    if (code === 0 && why === '') return lines;
    if (signal?.aborted) throw new StepFailed('interrupted');
    throw new StepFailed(
      `docker compose ${args.join(' ')} ${why || `exited with ${code}`}`,
      lines.slice(-25).join('\n'),
    );
  };
}
