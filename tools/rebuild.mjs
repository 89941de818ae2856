// @ts-check
// `npm run rebuild -- NAME`: counts a projection again from the beginning of the log, through the gateway, and shows how far it is;
// `--cancel` calls that off.
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from './command.mjs';
import { askGateway } from './gateway.mjs';
import { loadDotEnv } from './options.mjs';
import { StepFailed, Steps } from './steps.mjs';

const TIMEOUT_MS = 10_000;

const USAGE = `npm run rebuild                                lists the projections
npm run rebuild -- NAME                        rebuilds one of them
npm run rebuild -- NAME --accept-differences   swaps though the new copy says something else than the live one
npm run rebuild -- NAME --cancel               cancels a rebuild that waits or is under way`;

const LOOK_MS = 500;
const BAR = 30;

/** @typedef {Record<string, any>} Json */

const flag = { type: /** @type {const} */ ('boolean') };
const options = { 'accept-differences': flag, cancel: flag };
await runCommand({ usage: USAGE, options, positionals: true, packages: 'check' }, async ({ values, positionals }) => {
  loadDotEnv();
  const [name, ...more] = positionals;
  if (more.length > 0) throw new StepFailed(USAGE);
  if (values.cancel && (name === undefined || values['accept-differences'])) throw new StepFailed(USAGE);
  if (name !== undefined && values.cancel) return cancel(name);
  if (name !== undefined) return rebuild(name, values['accept-differences'] === true);
  for (const projection of (await ask('GET', ''))['data']) console.log(line(projection));
});

/** @param {string} name @param {boolean} acceptDifferences */
async function rebuild(name, acceptDifferences) {
  await new Steps().run(name, async (step) => {
    let projection = await ask('POST', `/${encodeURIComponent(name)}/rebuild`, { acceptDifferences });
    for (;;) {
      const { state, reason, differences, read } = projection['rebuild'];
      const differing = differences.map(
        (/** @type {Json} */ one) => `${one['name']}: ${one['live']} → ${one['rebuilt']}`,
      );
      if (state === 'failed') throw new StepFailed(reason, differing.join('\n'));
      if (state === 'cancelled') throw new StepFailed('It was cancelled.');
      if (state === 'swapped') {
        step.says([`rebuilt from ${read} records`, ...differing].join('\n'));
        return;
      }
      step.says(progress(projection['rebuild']));
      await sleep(LOOK_MS);
      const { data } = await ask('GET', '');
      projection = data.find((/** @type {Json} */ one) => one['name'] === name);
    }
  });
}

/** @param {string} name */
async function cancel(name) {
  const { rebuild } = await ask('POST', `/${encodeURIComponent(name)}/rebuild/cancel`);
  console.log(rebuildLine(rebuild));
}

/** @param {Json} rebuild */
function progress({ state, read, total, remainingMs, reason }) {
  if (reason) return `waits: ${reason}`;
  if (state === 'waiting' || total === 0) return 'waits for its turn';
  const share = Math.min(1, read / total);
  const bar = '█'.repeat(Math.round(share * BAR)).padEnd(BAR, '░');
  const left = remainingMs === null ? '' : `, ${Math.ceil(remainingMs / 1000)} s left`;
  return `${bar} ${Math.floor(share * 100)} %${left}`;
}

/** @param {Json} projection */
function line({ name, version, codeVersion, stale, rebuild }) {
  const how = stale ? `stale: counted by version ${version}, not ${codeVersion}` : `version ${version}`;
  return [name.padEnd(20), how.padEnd(20), rebuildLine(rebuild)].join(' ').trimEnd();
}

/** @param {Json | undefined} rebuild */
function rebuildLine(rebuild) {
  if (rebuild === undefined) return 'no rebuild';
  const { state, finishedAt, reason } = rebuild;
  return `rebuild ${[state, finishedAt, reason].filter((part) => part !== null).join(' ')}`;
}

/** @param {string} method @param {string} path below the list @param {Json} [body] */
function ask(method, path, body) {
  return askGateway(method, `/v1/admin/projections${path}`, body, TIMEOUT_MS);
}
