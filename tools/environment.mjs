// @ts-check
// What the services are told: addresses, namespace and ports, as environment variables and as `.tandem/env`.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * @param {{ variable: string, address: string }[]} servers
 * @param {string} namespace
 * @param {{ variable: string, port: number }[]} services a provider among them is the one that payments asks
 * @param {string} [providerUrl] of the provider that is asked instead
 * @returns {Record<string, string>}
 */
export function environment(servers, namespace, services, providerUrl) {
  const provider = services.find((one) => one.variable === 'PROVIDER_PORT');
  const url = provider === undefined ? providerUrl : `http://127.0.0.1:${provider.port}`;
  return Object.fromEntries([
    ...servers.map(({ variable, address }) => [variable, address]),
    ['NAMESPACE', namespace],
    ...services.map(({ variable, port }) => [variable, `${port}`]),
    ...(url ? [['PROVIDER_URL', url]] : []),
  ]);
}

/**
 * Writes variables where `nx serve` reads them (Node's --env-file).
 *
 * @param {string} path
 * @param {Record<string, string>} variables
 */
export function writeEnvironment(path, variables) {
  mkdirSync(dirname(path), { recursive: true });
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${quoted(value)}\n`);
  // Addresses may hold passwords.
  writeFileSync(path, lines.join(''), { mode: 0o600 });
}

/** @param {string} value */
export function quoted(value) {
  if (/^[\w:/@.,+%?=&-]*$/.test(value)) return value;
  // Node's format has no escapes: a value is quoted with what it does not hold.
  const quote = ["'", '"', '`'].find((one) => !value.includes(one));
  if (quote === undefined) throw new Error(`A value with all three quotes cannot be written: ${value}`);
  return `${quote}${value}${quote}`;
}
