import { expectNothingLostAndNothingTwice } from './counted.testing.ts';
import { startLoad, type Attempt } from './load.testing.ts';
import type { OwnServer } from './servers.testing.ts';
import type { OwnService } from './services.testing.ts';
import { startSystem, type System } from './system.testing.ts';
import { pause, until } from './waiting.testing.ts';

let system: System;
let gateway: OwnService;
let orders: OwnService;
let analytics: OwnService;
const placed = new Map<string, { id: string; version: number }>();

beforeAll(async () => {
  system = await startSystem();
  [gateway, orders, analytics] = await Promise.all([
    system.start('gateway'),
    system.start('orders'),
    system.start('analytics'),
  ]);
}, 120_000);

afterAll(() => system?.close());

interface Outage {
  /** Requests whose whole life lies in the outage, after its first second. */
  during: Attempt[];
  /** How long after the outage the first order was placed again. */
  recoveryMs: number;
}

/** A light load through HTTP, with an outage in its middle; afterwards every key is answered and counted. */
async function outage(
  begin: () => unknown,
  end: () => unknown,
  lastsMs: number,
  look: () => Promise<void>,
): Promise<Outage> {
  const load = startLoad([gateway.url], { customers: 6 });
  let away = 0;
  let ends = 0;
  try {
    await until('orders are placed', () => load.attempts.filter(({ status }) => status === 201).length > 30);
    await begin();
    away = performance.now();
    try {
      await look();
      await pause(lastsMs - (performance.now() - away));
    } finally {
      ends = performance.now();
      await end();
    }
    await until('orders are placed again', () =>
      load.attempts.some(({ status, atMs }) => status === 201 && atMs > ends),
    );
    await pause(1_000);
    for (const [key, order] of await load.finish()) placed.set(key, order);
  } finally {
    await load.stop();
  }
  await expectNothingLostAndNothingTwice(system, gateway.url, placed);
  await Promise.all([gateway, orders, analytics].map((service) => service.untilReady()));
  const again = load.attempts.find(({ status, atMs }) => status === 201 && atMs > ends) as Attempt;
  const during = load.attempts.filter(({ atMs, tookMs }) => atMs > away + 1_000 && atMs + tookMs < ends);
  return { during, recoveryMs: again.atMs + again.tookMs - ends };
}

const statuses = (attempts: readonly Attempt[]) => [...new Set(attempts.map(({ status }) => status))].sort();

/** While what an order needs is away: a refusal that says when to come back, soon, and never a success. */
function expectHonestRefusals({ during }: Outage, refuseMsMax: number): void {
  expect(during.length).toBeGreaterThan(0);
  expect(statuses(during)).toEqual([503]);
  for (const { retryAfter, tookMs } of during) {
    expect(Number(retryAfter)).toBeGreaterThan(0);
    expect(tookMs).toBeLessThan(refuseMsMax);
  }
}

/** Readiness notices within five seconds. */
const saysSoon = (service: OwnService, httpStatus: number, status?: string) =>
  until(
    `the readiness of ${service.name} is ${httpStatus} ${status ?? ''}`,
    async () => {
      const readiness = await service.readiness();
      return readiness.httpStatus === httpStatus && (status === undefined || readiness.status === status);
    },
    { timeoutMs: 5_000 },
  );

function stoppedAndStarted(server: () => OwnServer, look: () => Promise<void>): Promise<Outage> {
  return outage(
    () => server().stop(),
    () => server().start(),
    6_000,
    look,
  );
}

function killedAndStarted(server: () => OwnServer, look: () => Promise<void>): Promise<Outage> {
  return outage(
    () => server().kill(),
    () => server().start(),
    6_000,
    look,
  );
}

describe('invariant 5: RabbitMQ away', () => {
  const look = async () => {
    await saysSoon(gateway, 503);
    await saysSoon(orders, 503);
    await saysSoon(analytics, 200);
  };

  it('(stopped and started): 503 at once, and everything flows again by itself', async () => {
    expectHonestRefusals(await stoppedAndStarted(() => system.servers.rabbitmq, look), 2_000);
  });

  it('(killed): the same', async () => {
    expectHonestRefusals(await killedAndStarted(() => system.servers.rabbitmq, look), 2_000);
  });

  it('(paused for 13 s): no success, no lie, and everything flows again by itself', async () => {
    const { rabbitmq } = system.servers;
    const { during } = await outage(
      () => rabbitmq.pause(),
      () => rabbitmq.resume(),
      // Time for one request from its beginning to its deadline, after those that were under way.
      13_000,
      async () => undefined,
    );
    // What had been written to the socket may yet be done: 504 says so.
    expect(during.length).toBeGreaterThan(0);
    expect(statuses(during).filter((status) => status !== 503 && status !== 504)).toEqual([]);
  });
});

describe('invariant 5: Postgres away', () => {
  const look = async () => {
    await saysSoon(gateway, 200);
    await saysSoon(orders, 503);
    await saysSoon(analytics, 503);
  };

  it('(stopped and started): 503 within two seconds, and everything flows again by itself', async () => {
    expectHonestRefusals(await stoppedAndStarted(() => system.servers.postgres, look), 2_000);
  });

  it('(killed): the same', async () => {
    expectHonestRefusals(await killedAndStarted(() => system.servers.postgres, look), 2_000);
  });

  it('(paused for 10 s): no success, no lie, and everything flows again by itself', async () => {
    const { postgres } = system.servers;
    const { during } = await outage(
      () => postgres.pause(),
      () => postgres.resume(),
      10_000,
      async () => undefined,
    );
    expect(during.length).toBeGreaterThan(0);
    expect(statuses(during).filter((status) => status !== 503 && status !== 504)).toEqual([]);
  });
});

describe('invariant 6: Kafka away', () => {
  const look = async () => {
    await saysSoon(gateway, 200);
    await saysSoon(orders, 200, 'degraded');
    await saysSoon(analytics, 503);
  };
  const expectOrdersPlaced = ({ during }: Outage) => {
    expect(during.length).toBeGreaterThan(20);
    expect(statuses(during)).toEqual([201]);
  };

  it('(stopped and started): orders are placed all the same, and counted when it is back', async () => {
    expectOrdersPlaced(await stoppedAndStarted(() => system.servers.kafka, look));
  });

  it('(killed): the same', async () => {
    expectOrdersPlaced(await killedAndStarted(() => system.servers.kafka, look));
  });

  it('(paused for 10 s): the same', async () => {
    const { kafka } = system.servers;
    const { during } = await outage(
      () => kafka.pause(),
      () => kafka.resume(),
      10_000,
      async () => undefined,
    );
    expectOrdersPlaced({ during, recoveryMs: 0 });
  });
});
