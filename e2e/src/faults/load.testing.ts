import { randomUUID } from 'node:crypto';
import { pause, until } from './waiting.testing.ts';

/** One request and what came of it. */
export interface Attempt {
  key: string;
  /** 0 when the connection failed before an answer. */
  status: number;
  code: string | undefined;
  retryAfter: string | null;
  tookMs: number;
  atMs: number;
}

export interface Load {
  /** Every request so far. */
  readonly attempts: readonly Attempt[];
  /** Sends one more request at once, though others wait for their answers: whether it was answered for good. Never rejects. */
  sendOne(): Promise<boolean>;
  /** Stops sending, then repeats each key that was not answered for good until it is; resolves with the order of each key. */
  finish(): Promise<Map<string, { id: string; version: number }>>;
  /** Stops sending, and repeats nothing. */
  stop(): Promise<void>;
}

const started: Load[] = [];

/** Stops every load that a test began, also one that failed before it could. */
export async function stopLoads(): Promise<void> {
  await Promise.all(started.splice(0).map((load) => load.stop()));
}

/**
 * A light, steady load of placements through HTTP: each customer waits for its answer, then sends the next. What was not
 * answered for good is repeated under the same key, as a careful client would.
 *
 * @param urls gateways, taken in turn
 * @param customers how many send at the same time
 * @param everyMs the pause of each between two requests
 * @param order what is ordered
 * @param requestsMax how many different orders are placed at most
 */
export function startLoad(
  urls: readonly string[],
  {
    customers = 8,
    everyMs = 20,
    customerId = `c-${randomUUID()}`,
    order = { currency: 'EUR', lines: [{ sku: 'A-1', quantity: 1, unitPrice: 100 }] } as object,
    requestsMax = Infinity,
  } = {},
): Load {
  const attempts: Attempt[] = [];
  const placed = new Map<string, { id: string; version: number }>();
  const open = new Set<string>();
  const body = JSON.stringify({ customerId, ...order });
  let requests = 0;
  let sending = true;
  let turn = 0;

  const send = async (key: string): Promise<void> => {
    const url = urls[turn++ % urls.length] as string;
    const started = performance.now();
    const attempt: Attempt = { key, status: 0, code: undefined, retryAfter: null, tookMs: 0, atMs: started };
    try {
      const response = await fetch(`${url}/v1/orders`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body,
        signal: AbortSignal.timeout(15_000),
      });
      const answer = (await response.json()) as { code?: string; id?: string; version?: number };
      Object.assign(attempt, {
        status: response.status,
        code: answer.code,
        retryAfter: response.headers.get('retry-after'),
      });
      if (response.status === 201 && answer.id !== undefined && answer.version !== undefined) {
        placed.set(key, { id: answer.id, version: answer.version });
        open.delete(key);
      }
    } catch {
      // No answer: whether the order was placed, a repeat of the key will tell.
    }
    attempt.tookMs = performance.now() - started;
    attempts.push(attempt);
  };

  /** @returns whether it was answered for good. */
  const sendOne = async (): Promise<boolean> => {
    const key = randomUUID();
    open.add(key);
    await send(key);
    return !open.has(key);
  };

  const running = Array.from({ length: customers }, async () => {
    while (sending && requests < requestsMax) {
      requests += 1;
      // A refusal is no reason to ask more often.
      await pause((await sendOne()) ? everyMs : 10 * everyMs);
    }
  });

  const stop = async () => {
    sending = false;
    await Promise.all(running);
  };
  const load: Load = {
    attempts,
    sendOne,
    stop,
    finish: async () => {
      await stop();
      for (let vain = 0; open.size > 0;) {
        const before = open.size;
        await Promise.all([...open].slice(0, 100).map(send));
        vain = open.size < before ? 0 : vain + 1;
        if (vain === 60) throw new Error(`${open.size} keys are not answered after ${vain} rounds in vain.`);
        if (vain > 0) await pause(500);
      }
      return placed;
    },
  };
  started.push(load);
  return load;
}

/** How many orders a load has placed so far. */
export const placedBy = ({ attempts }: Load) => attempts.filter(({ status }) => status === 201).length;

/** Cuts connections 20 times under a load, each time when more orders have been placed since. */
export async function cutAgainAndAgain(load: Load, cut: () => unknown, pauseMs: number): Promise<void> {
  for (let cuts = 0; cuts < 20; cuts += 1) {
    const before = placedBy(load);
    await cut();
    await until('orders are placed again', () => placedBy(load) > before + 5);
    await pause(pauseMs);
  }
}
