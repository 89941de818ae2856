import { readConfig } from './config.ts';

describe('the configuration', () => {
  it('has a default for everything', () => {
    expect(readConfig({})).toMatchObject({
      GATEWAY_PORT: 3000,
      DEADLINE_MS: 5000,
      BODY_BYTES_MAX: 65_536,
      NAMESPACE: '',
    });
  });

  it.each([
    ['RABBITMQ_URL', 'http://127.0.0.1'],
    ['NAMESPACE', 'Mine!'],
    ['GATEWAY_PORT', '70000'],
    ['DEADLINE_MS', 'soon'],
    ['LOG_LEVEL', 'loud'],
    ['IDEMPOTENCY_REQUIRED', 'maybe'],
    ['AFTER_WAIT_MS', '5000'],
  ])('names %s when it is wrong', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(`${name}:`);
  });
});
