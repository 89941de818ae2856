// @ts-check
// `npm run parked -- list|show|redrive|drop …`: what was set aside, of RabbitMQ and of Kafka alike, through the gateway.
import { runCommand } from './command.mjs';
import { askGateway } from './gateway.mjs';
import { loadDotEnv } from './options.mjs';
import { StepFailed } from './steps.mjs';

const TIMEOUT_MS = 30_000;

const USAGE = `npm run parked -- list [--service=orders] [--source=orders.commands] [--order=ID] [--state=parked|redriven|dropped]
npm run parked -- show ID
npm run parked -- redrive ID… [--reason=TEXT]
npm run parked -- redrive --all [--service=orders] [--source=orders.commands] [--order=ID] [--reason=TEXT]
npm run parked -- drop ID --reason=TEXT`;

const PAGE = 100;

/** @typedef {Record<string, any>} Json */

const text = { type: /** @type {const} */ ('string') };
const options = {
  ...{ service: text, source: text, order: text, state: text, reason: text },
  all: { type: /** @type {const} */ ('boolean') },
};
await runCommand({ usage: USAGE, options, positionals: true, packages: 'check' }, ({ values, positionals }) => {
  loadDotEnv();
  const [action, ...ids] = positionals;
  const { all, reason, ...filter } = values;
  if (action === 'list' && ids.length === 0) return list(filter);
  if (action === 'show' && ids.length === 1) return show(/** @type {string} */ (ids[0]));
  if (action === 'redrive' && ids.length > 0 && !all) return redrive({ ids, ...(reason && { reason }) });
  if (action === 'redrive' && ids.length === 0 && all) {
    const { state: _, ...which } = filter;
    return redrive({ filter: which, limit: PAGE, ...(reason && { reason }) });
  }
  if (action === 'drop' && ids.length === 1 && reason) return drop(/** @type {string} */ (ids[0]), reason);
  throw new StepFailed(USAGE);
});

/** @param {Record<string, string | undefined>} filter */
async function list(filter) {
  let count = 0;
  const unanswered = new Set();
  for (let cursor; cursor !== null;) {
    const query = new URLSearchParams({ limit: `${PAGE}` });
    for (const [name, value] of Object.entries({ ...filter, cursor })) if (value) query.set(name, value);
    /** @type {Json} */
    const page = await ask('GET', `?${query}`);
    for (const one of page['data']) console.log(line(one));
    count += page['data'].length;
    for (const service of page['unanswered']) unanswered.add(service);
    cursor = page['nextCursor'];
  }
  console.log(count === 0 ? 'Nothing.' : `${count} in all.`);
  sayUnanswered(unanswered);
}

/** The exit status is 1 when something is missing. @param {Set<string>} services */
function sayUnanswered(services) {
  if (services.size === 0) return;
  console.error(`Without what ${[...services].join(' and ')} parked: no answer came from there.`);
  process.exitCode = 1;
}

/** @param {string} id */
async function show(id) {
  console.log(JSON.stringify(await ask('GET', `/${encodeURIComponent(id)}`), null, 2));
}

/** Goes on until nothing is left to try; exit status 1 when something stays. @param {Json} body */
async function redrive(body) {
  const unanswered = new Set();
  for (let cursor; cursor !== null;) {
    const page = await ask('POST', '/redrive', { ...body, ...(cursor && { cursor }) });
    for (const { id, outcome, detail, state } of page['outcomes']) {
      console.log([id, outcome === 'done' ? 'redriven' : (state ?? outcome), detail ?? ''].join('  ').trim());
      if (outcome !== 'done' && outcome !== 'settled') process.exitCode = 1;
    }
    for (const service of page['unanswered']) unanswered.add(service);
    cursor = page['nextCursor'];
  }
  sayUnanswered(unanswered);
}

/** @param {string} id @param {string} reason */
async function drop(id, reason) {
  await ask('POST', `/${encodeURIComponent(id)}/drop`, { reason });
  console.log(`${id}  dropped`);
}

/** @param {Json} one */
function line({ id, source, partition, offset, orderId, parkedAt, state, reason }) {
  const where = partition === undefined ? source : `${source}/${partition}@${offset}`;
  return [id.padEnd(14), parkedAt, state.padEnd(8), where, orderId ?? '', reason].filter(Boolean).join('  ');
}

/** @param {string} method @param {string} path below the list @param {Json} [body] */
function ask(method, path, body) {
  return askGateway(method, `/v1/admin/parked${path}`, body, TIMEOUT_MS);
}
