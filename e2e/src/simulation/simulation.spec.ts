import { describe, expect, it } from '@jest/globals';
import { runSchedule } from './schedule.testing.ts';
import { MUTANTS, type Mutant } from './system.testing.ts';

// Runs what the relay and the consumer decide, as they stand, against modelled servers that crash, lose and repeat. A schedule
// follows from its seed alone: SIMULATION_SEED=7 npx nx test e2e runs schedule 7 by itself.

const ONLY = process.env['SIMULATION_SEED'];
const FIRST = ONLY === undefined ? 1 : Number(ONLY);
const SCHEDULES = ONLY === undefined ? Number(process.env['SIMULATION_SCHEDULES'] ?? 10_000) : 1;
const BLOCK = 1_000;
/** A mutant that survives so many schedules would be missed by the others too. */
const MUTANT_SCHEDULES_MAX = 2_000;
const TRACED_MAX = 60;

/** The first schedule that fails, of some, as an error to read. */
function firstFailure(first: number, count: number, mutant?: Mutant): string | undefined {
  for (let seed = first; seed < first + count; seed += 1) {
    const { failure } = runSchedule({ seed, mutant });
    if (failure === undefined) continue;
    const { trace } = runSchedule({ seed, mutant, traced: true });
    return [`schedule ${seed}: ${failure}`, ...trace.slice(-TRACED_MAX)].join('\n');
  }
  return undefined;
}

describe(`invariants 2 and 6 to 11, in ${SCHEDULES} schedules of crashes, delays, losses and repeats`, () => {
  const blocks = Array.from({ length: Math.ceil(SCHEDULES / BLOCK) }, (_, index) => {
    const first = FIRST + index * BLOCK;
    return { first, last: Math.min(first + BLOCK, FIRST + SCHEDULES) - 1 };
  });

  it.each(blocks)(
    'every event is in the log, in an unbroken chain, and counted once; nothing claims more: $first to $last',
    ({ first, last }) => {
      const failure = firstFailure(first, last - first + 1);
      if (failure !== undefined) throw new Error(failure);
    },
  );

  it('run the same for the same seed', () => {
    const [once, again] = [1, 2].map(() => runSchedule({ seed: FIRST, traced: true }));
    expect(once?.trace.length).toBeGreaterThan(10);
    expect(again).toEqual(once);
  });
});

describe('the simulation can fail: it sees that', () => {
  it.each(MUTANTS)('%s', (mutant) => {
    expect(firstFailure(1, MUTANT_SCHEDULES_MAX, mutant)).toBeDefined();
  });
});
