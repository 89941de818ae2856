import pg from 'pg';
import { expectNothingLostAndNothingTwice } from './counted.testing.ts';
import { databaseOf } from './log.testing.ts';
import { cutAgainAndAgain, placedBy, startLoad, stopLoads, type Attempt } from './load.testing.ts';
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
  const load = startLoad([gateway.url], { requestsMax: 1 });
  for (const [key, order] of await load.finish()) placed.set(key, order);
}, 300_000);

afterEach(stopLoads);

afterAll(() => system?.close());

/**
 * A light load through HTTP, with an outage in its middle; afterwards every key is answered and counted.
 *
 * @returns the requests whose whole life lies in the outage, after its first second.
 */
async function outage(
  begin: () => unknown,
  end: () => unknown,
  lastsMs: number,
  look: () => Promise<void>,
): Promise<Attempt[]> {
  const load = startLoad([gateway.url], { customers: 6 });
  await until('orders are placed', () => placedBy(load) > 30);
  await begin();
  const away = performance.now();
  let ends = 0;
  // Not only those come who have waited for an answer.
  const arriving = setInterval(() => void load.sendOne(), 300);
  try {
    await look();
    await until('a request lies within it', () => load.attempts.some(({ atMs }) => atMs > away + 1_000));
    await pause(lastsMs - (performance.now() - away));
  } finally {
    clearInterval(arriving);
    ends = performance.now();
    await end();
  }
  await until('orders are placed again', () => load.attempts.some(({ status, atMs }) => status === 201 && atMs > ends));
  await pause(1_000);
  for (const [key, order] of await load.finish()) placed.set(key, order);
  await expectNothingLostAndNothingTwice(system, gateway.url, placed);
  await Promise.all([gateway, orders, analytics].map((service) => service.untilReady()));
  return load.attempts.filter(({ atMs, tookMs }) => atMs > away + 1_000 && atMs + tookMs < ends);
}

const statuses = (attempts: readonly Attempt[]) => [...new Set(attempts.map(({ status }) => status))].sort();

/** While what an order needs is away: a refusal that says when to come back, soon, and never a success. */
function expectHonestRefusals(during: readonly Attempt[], refuseMsMax: number): void {
  expect(during.length).toBeGreaterThan(0);
  expect(statuses(during)).toEqual([503]);
  for (const { retryAfter, tookMs } of during) {
    expect(Number(retryAfter)).toBeGreaterThan(0);
    expect(tookMs).toBeLessThan(refuseMsMax);
  }
}

/** Readiness notices: within five seconds, on a machine that is not busy. */
const saysSoon = (service: OwnService, httpStatus: number, status?: string) =>
  until(
    `the readiness of ${service.name} is ${httpStatus} ${status ?? ''}`,
    async () => {
      const readiness = await service.readiness();
      return readiness.httpStatus === httpStatus && (status === undefined || readiness.status === status);
    },
    { timeoutMs: 20_000 },
  );

/** What is read, not changed, through the gateway: of each service, its projections and its parked messages. */
function reads(): string[] {
  const [id] = [...placed.values()].map((order) => order.id);
  const paths = ['orders?limit=1', `orders/${id}`, `orders/${id}/events`, 'analytics/summary', 'analytics/products'];
  return [...paths, 'admin/projections', 'admin/parked?service=orders', 'admin/parked?service=analytics'];
}

/** Reads refuse as placing does: soon, and saying when to come back. */
async function readsAreRefused(refuseMsMax: number): Promise<void> {
  for (const path of reads()) {
    const started = performance.now();
    const response = await fetch(`${gateway.url}/v1/${path}`, { signal: AbortSignal.timeout(10_000) });
    expect({ path, status: response.status, problem: await response.json() }).toMatchObject({
      path,
      status: 503,
      problem: { code: 'unavailable', retryable: true },
    });
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(performance.now() - started).toBeLessThan(refuseMsMax);
  }
}

async function readsAreAnswered(): Promise<void> {
  for (const path of reads()) {
    const response = await fetch(`${gateway.url}/v1/${path}`, { signal: AbortSignal.timeout(10_000) });
    expect({ path, status: response.status }).toEqual({ path, status: 200 });
  }
}

function stoppedAndStarted(server: () => OwnServer, look: () => Promise<void>): Promise<Attempt[]> {
  return outage(
    () => server().stop(),
    () => server().start(),
    6_000,
    look,
  );
}

function killedAndStarted(server: () => OwnServer, look: () => Promise<void>): Promise<Attempt[]> {
  return outage(
    () => server().kill(),
    () => server().start(),
    6_000,
    look,
  );
}

/** One placement by hand; its key is counted in the end when it is answered with 201. */
async function place(at: string, key: string) {
  const response = await fetch(`${at}/v1/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ customerId: 'c-1', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 1, unitPrice: 100 }] }),
    signal: AbortSignal.timeout(20_000),
  });
  const answer = (await response.json()) as { id: string; version: number; code?: string };
  if (response.status === 201) placed.set(key, answer);
  return { status: response.status, code: answer.code, replayed: response.headers.get('idempotency-replayed') };
}

const decided = async (database: pg.Client) =>
  Number((await database.query('select count(*) from commands')).rows[0].count);

describe('a synchronous standby that is away', () => {
  const unknown = { status: 504, code: 'outcome_unknown' };
  let server: pg.Client;
  let database: pg.Client;

  const standby = async (name: string) => {
    await server.query(`alter system set synchronous_standby_names = '${name}'`);
    await server.query('select pg_reload_conf()');
    const isSet = async () =>
      (await database.query('show synchronous_standby_names')).rows[0].synchronous_standby_names === name;
    await until('the server knows', isSet);
  };
  beforeAll(async () => {
    server = new pg.Client(system.servers.postgres.address);
    await server.connect();
    database = await databaseOf(system, 'orders');
  });
  afterAll(async () => {
    await standby('');
    await Promise.all([server.end(), database.end()]);
  });

  it('leaves a commit unknown, and every repeat of its key, until it is back', async () => {
    const before = await decided(database);
    await standby('nobody');
    expect(await place(gateway.url, 'standby-1')).toMatchObject(unknown);
    // No time-out ends the wait of a commit; somebody does, and what was committed here can be seen.
    await server.query(`select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`);
    await until('it can be seen', async () => (await decided(database)) === before + 1);
    expect(await place(gateway.url, 'standby-1')).toMatchObject(unknown);
    const waiting = `select 1 from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'orders.commands'`;
    await until('no connection waits for ever', async () => (await server.query(waiting)).rowCount === 0);
    await standby('');
    expect(await place(gateway.url, 'standby-1')).toMatchObject({ status: 201, replayed: 'true' });
  });

  it('leaves a commit unknown whose connection is ended while it waits', async () => {
    await standby('nobody');
    const waiting = place(gateway.url, 'standby-2');
    await until('it waits for the standby', async () => {
      const { rowCount } = await server.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'orders.commands'`,
      );
      return rowCount === 1;
    });
    expect(await waiting).toMatchObject(unknown);
    await standby('');
    expect(await place(gateway.url, 'standby-2')).toMatchObject({ status: 201, replayed: 'true' });
  });
});

describe('a signal to stop', () => {
  it('that comes twice, while an order is under way, costs nobody an answer', async () => {
    const [another, takesOver] = await Promise.all([system.start('gateway'), system.launch('orders')]);
    const database = await databaseOf(system, 'orders');
    await database.query('begin; select pg_advisory_xact_lock(42)');
    const underWay = [place(another.url, 'signal-1'), place(another.url, 'signal-2')];
    const waiting = `select 1 from pg_locks where locktype = 'advisory' and objid = 42 and not granted`;
    await until('it waits for its lock', async () => ((await database.query(waiting)).rowCount ?? 0) > 0);
    for (let times = 0; times < 3; times += 1) for (const service of [another, orders]) service.kill('SIGTERM');
    await pause(500);
    for (const service of [another, orders]) service.kill('SIGTERM');
    await database.query('rollback');
    await database.end();
    expect((await Promise.all(underWay)).map(({ status }) => status)).toEqual([201, 201]);
    expect(await Promise.all([another.exited, orders.exited])).toEqual([0, 0]);
    orders = takesOver;
    await orders.untilReady();
  });

  it.each(['gateway', 'orders', 'analytics', 'payments', 'provider'] as const)(
    'that comes twice as soon as %s listens ends it in order',
    async (name) => {
      const service = await system.launch(name);
      const lives = async () => (await fetch(`${service.url}/health/live`)).ok;
      await until(`${name} listens`, lives, { timeoutMs: 60_000, about: service.log });
      service.kill('SIGTERM');
      service.kill('SIGTERM');
      expect(await service.exited).toBe(0);
    },
  );
});

describe('orders that are gone while their queue is there', () => {
  it('are refused soon, and taken again when somebody takes requests from it', async () => {
    orders.kill('SIGKILL');
    const soon = { status: 503, code: 'unavailable' };
    await until('it is known', async () => (await place(gateway.url, 'gone-1')).status === 503, { timeoutMs: 30_000 });
    const began = performance.now();
    expect(await place(gateway.url, 'gone-2')).toMatchObject(soon);
    expect(performance.now() - began).toBeLessThan(4_000);
    expect((await gateway.readiness()).checks['services']).toMatchObject({ status: 'degraded' });
    orders = await system.start('orders');
    await until('it is known', async () => (await place(gateway.url, 'gone-1')).status === 201);
    const told = async () => JSON.stringify((await gateway.readiness()).checks['services']);
    await until('it is told', async () => !(await told()).includes('orders.commands'));
  });
});

describe('invariant 5: RabbitMQ away', () => {
  const look = async () => {
    await saysSoon(gateway, 503);
    await saysSoon(orders, 503);
    await saysSoon(analytics, 200);
    await readsAreRefused(2_000);
  };

  it('(stopped and started): 503 at once, and everything flows again by itself', async () => {
    expectHonestRefusals(await stoppedAndStarted(() => system.servers.rabbitmq, look), 2_000);
  });

  it('(killed): the same', async () => {
    expectHonestRefusals(await killedAndStarted(() => system.servers.rabbitmq, look), 2_000);
  });

  it('(paused for 13 s): no success, no lie, and everything flows again by itself', async () => {
    const { rabbitmq } = system.servers;
    const during = await outage(
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
    await readsAreRefused(2_000);
  };

  it('(stopped and started): 503 within two seconds, and everything flows again by itself', async () => {
    expectHonestRefusals(await stoppedAndStarted(() => system.servers.postgres, look), 2_000);
  });

  it('(killed): the same', async () => {
    expectHonestRefusals(await killedAndStarted(() => system.servers.postgres, look), 2_000);
  });

  it('(paused for 10 s): no success, no lie, and everything flows again by itself', async () => {
    const { postgres } = system.servers;
    const during = await outage(
      () => postgres.pause(),
      () => postgres.resume(),
      10_000,
      async () => undefined,
    );
    expect(during.length).toBeGreaterThan(0);
    expect(statuses(during).filter((status) => status !== 503 && status !== 504)).toEqual([]);
  });
});

describe('invariants 3, 5 and 6: connections to Postgres that are cut', () => {
  it('all of them, 20 times: the right answer, 503 or 504, and everything flows on by itself', async () => {
    const server = new pg.Client({ connectionString: system.servers.postgres.address });
    await server.connect();
    const load = startLoad([gateway.url], { customers: 6 });
    const cutAll = async () => {
      const { rowCount } = await server.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
      );
      expect(rowCount).toBeGreaterThan(0);
    };
    await cutAgainAndAgain(load, cutAll, 100).finally(() => server.end());
    for (const [key, order] of await load.finish()) placed.set(key, order);
    await expectNothingLostAndNothingTwice(system, gateway.url, placed);
    expect(statuses(load.attempts).filter((status) => ![201, 503, 504].includes(status))).toEqual([]);
    await Promise.all([gateway, orders, analytics].map((service) => service.untilReady()));
  });
});

describe('invariant 6: Kafka away', () => {
  const look = async () => {
    await saysSoon(gateway, 200);
    await saysSoon(orders, 200, 'degraded');
    await saysSoon(analytics, 503);
    await readsAreAnswered();
  };
  const expectOrdersPlaced = (during: readonly Attempt[]) => {
    expect(during.length).toBeGreaterThan(20);
    expect(statuses(during)).toEqual([201]);
  };

  it('(stopped and started): orders are placed and a rebuild waits, and all is counted when it is back', async () => {
    const projections = `${gateway.url}/v1/admin/projections`;
    const rebuild = async () => {
      const { data } = (await (await fetch(projections)).json()) as {
        data: { name: string; rebuild?: { state: string; reason: string | null } }[];
      };
      return data.find(({ name }) => name === 'order-counts')?.rebuild;
    };
    const lookAndRebuild = async () => {
      await look();
      expect((await fetch(`${projections}/order-counts/rebuild`, { method: 'POST' })).status).toBe(202);
      await until('the rebuild says what it waits for', async () => /Kafka/.test((await rebuild())?.reason ?? ''));
    };
    expectOrdersPlaced(await stoppedAndStarted(() => system.servers.kafka, lookAndRebuild));
    await until('it is rebuilt', async () => (await rebuild())?.state === 'swapped');
  });

  it('(killed): the same', async () => {
    expectOrdersPlaced(await killedAndStarted(() => system.servers.kafka, look));
  });

  it('(paused for 10 s): the same', async () => {
    const { kafka } = system.servers;
    const during = await outage(
      () => kafka.pause(),
      () => kafka.resume(),
      10_000,
      async () => undefined,
    );
    expectOrdersPlaced(during);
  });
});
