import { z } from 'zod';
import { readEnvironment } from './environment.ts';

const Environment = z.object({
  RETENTION_MS: z.coerce.number().int().min(-1).default(-1),
  PORT: z.coerce.number().int().min(0).default(3000),
});

describe('the environment of a service', () => {
  it('takes an empty variable for one that is not set', () => {
    expect(readEnvironment(Environment, { RETENTION_MS: '', PORT: '' })).toEqual({ RETENTION_MS: -1, PORT: 3000 });
  });

  it('names every variable that is wrong', () => {
    expect(() => readEnvironment(Environment, { RETENTION_MS: 'ever', PORT: '-1' })).toThrow(/RETENTION_MS:.*PORT:/s);
  });
});
