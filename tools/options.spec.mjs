// @ts-check
import { namespaceOf, readOptions } from './options.mjs';
import { StepFailed } from './steps.mjs';

describe('the way to find a server', () => {
  it('is open unless something says otherwise', () => {
    expect(readOptions([], {}).ways).toEqual({ postgres: undefined, rabbitmq: undefined, kafka: undefined });
  });

  it('comes from the environment, a switch for all, a switch for one: the most particular wins', () => {
    const env = { TANDEM_KAFKA: 'docker', TANDEM_POSTGRES: 'running' };
    expect(readOptions(['--servers=native', '--postgres=embedded'], env).ways).toEqual({
      postgres: 'embedded',
      rabbitmq: 'native',
      kafka: 'docker',
    });
  });

  it('embeds PostgreSQL only', () => {
    expect(readOptions(['--servers=embedded'], {}).ways).toEqual({
      postgres: 'embedded',
      rabbitmq: 'native',
      kafka: 'native',
    });
    expect(() => readOptions(['--kafka=embedded'], {})).toThrow(/--kafka .*env, running, docker, native; not embedded/);
  });

  it('is refused when it is unknown, naming what there is', () => {
    expect(() => readOptions(['--posgres=native'], {})).toThrow(StepFailed);
    expect(() => readOptions(['--posgres=native'], {})).toThrow(/Known switches: --servers=… --postgres=…/);
  });
});

describe('the namespace', () => {
  it('is empty unless set', () => expect(namespaceOf({})).toBe(''));
  it('is taken when it will do in every name', () => expect(namespaceOf({ NAMESPACE: 'test-4_a' })).toBe('test-4_a'));
  it.each(['Test', 'a.b', 'a b', 'ä'])('refuses %j', (value) => {
    expect(() => namespaceOf({ NAMESPACE: value })).toThrow(/NAMESPACE takes/);
  });
});
