// @ts-check
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { environment, quoted } from './environment.mjs';
import { root } from './folder.mjs';
import { withoutLogin } from './servers.mjs';
import { services } from './services.mjs';
import { inWords } from './totals.mjs';

describe('the file of variables', () => {
  it.each([
    'plain',
    'postgres://u:p@127.0.0.1:5432/postgres?sslmode=disable',
    'with # and space',
    "it's",
    '',
    'a"b',
    '$x',
  ])('gives Node back %j', (value) => {
    expect(parseEnv(`NAME=${quoted(value)}\n`)).toEqual({ NAME: value });
  });

  it('holds addresses, namespace and ports', () => {
    expect(
      environment([{ variable: 'KAFKA_BROKERS', address: 'a:1,b:2' }], '', [{ variable: 'ORDERS_PORT', port: 3001 }]),
    ).toEqual({ KAFKA_BROKERS: 'a:1,b:2', NAMESPACE: '', ORDERS_PORT: '3001' });
  });

  it('tells payments where its provider is', () => {
    const variables = environment([], '', [{ variable: 'PROVIDER_PORT', port: 4004 }]);
    expect(variables).toMatchObject({ PROVIDER_PORT: '4004', PROVIDER_URL: 'http://127.0.0.1:4004' });
  });

  it('tells payments the provider that PROVIDER_URL names, which leaves out the one of development', () => {
    const wanted = services({ PROVIDER_URL: 'https://pay.example' });
    expect(wanted.map(({ name }) => name)).not.toContain('provider');
    expect(() => services({ PROVIDER_URL: 'nonsense' })).toThrow(/PROVIDER_URL takes an http/);
    expect(environment([], '', wanted, 'https://pay.example')).toMatchObject({ PROVIDER_URL: 'https://pay.example' });
  });
});

describe('.env.example', () => {
  const text = readFileSync(join(root, '.env.example'), 'utf8');
  const shown = parseEnv(text.replaceAll(/^#(?=[A-Z_]+=)/gm, ''));
  /** @param {string} part */
  const named = (part) => [...part.matchAll(/^#([A-Z_]+)=/gm)].map(([, name]) => /** @type {string} */ (name));
  const variables = readdirSync(join(root, 'apps')).flatMap((app) => {
    const text = readFileSync(join(root, 'apps', app, 'src/config.ts'), 'utf8');
    return [...text.matchAll(/^ {2}([A-Z][A-Z_]+): (?:(?:count|port)\(([\d_]+))?/gm)].map(([, name, fallback]) => {
      return { app, name: /** @type {string} */ (name), fallback: fallback?.replaceAll('_', '') };
    });
  });

  it.each(variables)('shows $name of $app, with its default', ({ name, fallback }) => {
    expect(shown[name]).toBeDefined();
    if (fallback !== undefined) expect(shown[name]).toBe(fallback);
  });

  const compose = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  const [, ...sections] = text.split(/^# --- /m);
  const ofCompose = sections.filter((section) => /^(both|docker compose)/.test(section)).flatMap(named);

  it.each(ofCompose)('promises for docker compose only what reaches a container: %s', (name) => {
    expect(compose).toContain(`\${${name}:-`);
  });

  it('lists every variable that docker-compose.yml reads, of which an empty one is its default', () => {
    const read = [...compose.matchAll(/\$\{(\w+)(:?-?)/g)].filter(([, name]) => name !== 'COMPOSE_PROJECT_NAME');
    expect(read.filter(([, , how]) => how !== ':-')).toEqual([]);
    expect(named(text)).toEqual(expect.arrayContaining(read.map(([, name]) => name)));
  });
});

describe('what is printed', () => {
  it.each([
    ['postgres://postgres:secret@db:5432/postgres', 'db:5432/postgres'],
    ['amqp://guest:guest@127.0.0.1:5672', '127.0.0.1:5672'],
    ['a:9092,b:9092', 'a:9092,b:9092'],
  ])('shows no login of %s', (address, shown) => expect(withoutLogin(address)).toBe(shown));

  it('ends with the totals', () => {
    expect(inWords({ passed: 3, failed: 1, skipped: 0 })).toBe('3 passed, 1 failed');
    expect(inWords({ passed: 3, failed: 0, skipped: 2 })).toBe('3 passed, 0 failed, 2 skipped');
  });
});
