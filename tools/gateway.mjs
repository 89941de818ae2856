// @ts-check
// The HTTP API, as the commands for operators use it.
import { folder } from './folder.mjs';
import { StepFailed } from './steps.mjs';

/** @typedef {Record<string, any>} Json */

/**
 * @param {string} method
 * @param {string} path
 * @param {Json | undefined} body none when undefined
 * @param {number} timeoutMs
 * @returns {Promise<Json>}
 * @throws {StepFailed} with what the gateway says
 */
export async function askGateway(method, path, body, timeoutMs) {
  const url = `${await address()}${path}`;
  const sent =
    body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(url, { method, ...sent, signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    throw new StepFailed(`The gateway does not answer at ${url}`, error instanceof Error ? error.message : undefined);
  }
  const answer = /** @type {Json} */ (await response.json().catch(() => ({})));
  if (!response.ok) throw new StepFailed(`${answer['title'] ?? response.status}: ${answer['detail'] ?? ''}`);
  return answer;
}

/** The one of GATEWAY_URL, of the running `npm start`, or of the standard port. */
async function address() {
  if (process.env['GATEWAY_URL']) return process.env['GATEWAY_URL'];
  const { liveRun } = await import('./record.mjs');
  const port = liveRun(folder)?.services.find(({ name }) => name === 'gateway')?.port;
  return `http://127.0.0.1:${port ?? (process.env['GATEWAY_PORT'] || 3000)}`;
}
