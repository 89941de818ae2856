// @ts-check
import { namespaceOf, readWays } from './options.mjs';

describe('the way to find a server', () => {
  it('is open unless something says otherwise', () => {
    expect(readWays({}, {})).toEqual({ postgres: undefined, rabbitmq: undefined, kafka: undefined });
  });

  it('comes from the environment, a switch for all, a switch for one: the most particular wins', () => {
    const env = { TANDEM_KAFKA: 'docker', TANDEM_POSTGRES: 'running' };
    expect(readWays({ servers: 'native', postgres: 'embedded' }, env)).toEqual({
      postgres: 'embedded',
      rabbitmq: 'native',
      kafka: 'docker',
    });
  });

  it('embeds PostgreSQL only', () => {
    expect(readWays({ servers: 'embedded' }, {})).toEqual({
      postgres: 'embedded',
      rabbitmq: 'native',
      kafka: 'native',
    });
    expect(() => readWays({ kafka: 'embedded' }, {})).toThrow(/--kafka .*env, running, docker, native; not embedded/);
  });
});

describe('the namespace', () => {
  it('is empty unless set', () => expect(namespaceOf({})).toBe(''));
  it('is taken when it will do in every name', () => expect(namespaceOf({ NAMESPACE: 'test-4_a' })).toBe('test-4_a'));
  it.each(['Test', 'a.b', 'a b', 'ä'])('refuses %j', (value) => {
    expect(() => namespaceOf({ NAMESPACE: value })).toThrow(/NAMESPACE takes/);
  });
});
