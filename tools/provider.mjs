// @ts-check
/**
 * Tells the payment provider of development how to behave. A system without one has nobody who pays, unless `PROVIDER_URL` says
 * where it is.
 *
 * @param {string} behaviour
 * @param {{ only?: 'GET' | 'POST', reference?: string }} about which requests; all, unless said.
 */
export async function tellProvider(behaviour, about = {}) {
  const named = process.env['PROVIDER_URL'];
  const url = `${named ?? 'http://127.0.0.1:3004'}/control`;
  const options = { method: 'PUT', body: JSON.stringify({ behaviour, ...about }), signal: AbortSignal.timeout(30_000) };
  const response = await fetch(url, options).catch((/** @type {Error} */ error) => {
    if (named !== undefined) throw new Error(`The provider at ${named} does not answer`, { cause: error });
  });
  if (response && !response.ok) throw new Error(`The provider refuses: ${await response.text()}`);
}
