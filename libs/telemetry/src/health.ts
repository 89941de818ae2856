/** One part's condition. `degraded` still does its work, though late or incompletely; `unavailable` cannot. */
export type Check = { status: 'ok' | 'degraded' | 'unavailable'; reason?: string };

/** What `GET /health/ready` answers: the worst of the checks, and each of them by name. */
export type HealthReport = { status: Check['status']; service: string; checks: Record<string, Check> };

/** How long one check may take before it counts as unavailable. */
export const CHECK_TIMEOUT_MS = 2_000;

const SEVERITY = { ok: 0, degraded: 1, unavailable: 2 } satisfies Record<Check['status'], number>;

/**
 * The checks of one service. Readiness is for a load balancer: `unavailable` takes the service out of it, so only what
 * stops the service's own work may say so.
 */
export class Health {
  readonly service: string;
  readonly #checks = new Map<string, () => Check | Promise<Check>>();
  #stopping = false;

  /** @param service the name under which it reports. */
  constructor(service: string) {
    this.service = service;
  }

  /**
   * Adds a check, which runs on every report, together with the others.
   *
   * @throws Error when there is one of that name.
   */
  add(name: string, check: () => Check | Promise<Check>): void {
    if (this.#checks.has(name)) throw new Error(`There is a health check named ${name} already`);
    this.#checks.set(name, check);
  }

  /** Runs every check. Never rejects: one that throws, or takes over 2 s, is unavailable and says why. */
  async report(): Promise<HealthReport> {
    const entries = await Promise.all(
      [...this.#checks].map(async ([name, check]) => [name, await run(check)] as const),
    );
    if (this.#stopping) entries.push(['process', { status: 'unavailable', reason: 'is stopping' }]);
    let status: Check['status'] = 'ok';
    for (const [, check] of entries) if (SEVERITY[check.status] > SEVERITY[status]) status = check.status;
    return { status, service: this.service, checks: Object.fromEntries(entries) };
  }

  /** From now on every report is unavailable: called first in a shutdown, so that no new work is sent here. */
  stopping(): void {
    this.#stopping = true;
  }
}

async function run(check: () => Check | Promise<Check>): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Check>((resolve) => {
    timer = setTimeout(
      () => resolve({ status: 'unavailable', reason: `did not answer within ${CHECK_TIMEOUT_MS} ms` }),
      CHECK_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([check(), late]);
  } catch (error) {
    return { status: 'unavailable', reason: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}
