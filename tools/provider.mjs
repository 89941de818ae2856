// @ts-check
/**
 * Tells the payment provider of development how to behave. A system without one has nobody who pays.
 *
 * @param {string} behaviour
 */
export async function tellProvider(behaviour) {
  const url = process.env['PROVIDER_URL'] ?? 'http://127.0.0.1:3004';
  const options = { method: 'PUT', body: JSON.stringify({ behaviour }), signal: AbortSignal.timeout(5_000) };
  const response = await fetch(`${url}/control`, options).catch(() => undefined);
  if (response !== undefined && !response.ok) throw new Error(`The provider refuses: ${await response.text()}`);
}
