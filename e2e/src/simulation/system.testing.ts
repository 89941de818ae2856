import type { AnalyticsDatabase, OrdersDatabase, Session } from './databases.testing.ts';
import type { Group, Log, Producer } from './log.testing.ts';
import type { Process, World } from './world.testing.ts';

/** Mistakes that somebody could make around that code. The simulation must see each of them. */
export const MUTANTS = [
  'the append does not wait for its lock',
  'the checkpoint is stored before the batch is published',
  'the next batch is sent before the former is confirmed',
  'a producer is used again after a send has failed',
  'a send that resolves is taken for confirmed',
  'the offset is committed before the effects',
  'the offset is committed after the effects',
  'nothing fences a member whose partition was taken away',
  'any position above the mark is next, whatever its prev',
  'a leader does not look whether the log is still there',
  'what was published and not found is not searched for',
] as const;
export type Mutant = (typeof MUTANTS)[number];

/** What all processes share. */
export interface System {
  world: World;
  log: Log;
  orders: OrdersDatabase;
  analytics: AnalyticsDatabase;
  group: Group;
  /** Of the relays that lead, or believe that they do. */
  terms: Set<Term>;
  mutant: Mutant | undefined;
  /** How much is read, sent and fetched at once. */
  limits: { eventsMax: number; partitionBytesMax: number; fetchMax: number };
  /** Why something has failed last, by who failed: what holds the system back, when nothing else tells. */
  failures: Map<string, string>;
  /** Told what an instance of analytics says has been counted, at the moment it looks. */
  onClaim: (instance: string, position: bigint) => void;
}

/** What one leader holds for as long as it leads. */
export interface Term {
  process: Process;
  session: Session;
  producer: Producer;
  /** The end of `order.checkpoints` after what this leader said last. */
  saidEnd: bigint;
  /** Of the mutant that does not wait for one batch before it sends the next. */
  unconfirmed: number;
  failure: Error | undefined;
}

/** How often it is looked whether the log is still there, and whether what was published was found. */
export const LOOK_MS = 300;

/** Notes what went wrong, as a service logs it before it tries again. @throws what no server could have done to it. */
export function failed({ world, failures }: System, who: string, error: unknown): void {
  // Nothing that the model does to anybody: a mistake in the model, or in what it drives.
  if (error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError) throw error;
  const reason = (error as Error).message;
  failures.set(who, reason);
  world.note(() => `${who}: ${reason}`);
}
