import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { expectNothingLostAndNothingTwice, summaryOf } from './counted.testing.ts';
import { startLoad, stopLoads, type Load } from './load.testing.ts';
import { databaseOf, loseLog, partitionOf, produce, send, topicOf } from './log.testing.ts';
import { runTool, type OwnService } from './services.testing.ts';
import { dieAt, startSystem, type System } from './system.testing.ts';
import { pause, until } from './waiting.testing.ts';

let system: System;
let gateway: OwnService;
let orders: OwnService;
const placed = new Map<string, { id: string; version: number }>();

beforeAll(async () => {
  system = await startSystem();
  [gateway, orders] = await Promise.all([system.start('gateway'), system.start('orders')]);
}, 300_000);

afterEach(stopLoads);

afterAll(() => system?.close());

const light = () => startLoad([gateway.url], { customers: 4 });

async function expectCounted(load?: Load): Promise<void> {
  if (load !== undefined) for (const [key, order] of await load.finish()) placed.set(key, order);
  await expectNothingLostAndNothingTwice(system, gateway.url, placed);
}

/** Members that are needed in one test only leave before the next. */
const stopAll = async (...services: OwnService[]) =>
  expect(await Promise.all(services.map((service) => service.stop()))).toEqual(services.map(() => 0));

describe('invariant 11: a member that dies', () => {
  const POINTS = [
    { sql: '^insert into order_counts', when: 'after' },
    { sql: '^update consumer_offsets set next_offset', when: 'after' },
    { sql: '^commit$', when: 'before' },
    { sql: '^commit$', when: 'after' },
  ];

  it('between applying and committing, or right after it, 20 times, counts nothing twice and loses nothing', async () => {
    const load = light();
    // Four at once, because the group waits for the session of a dead member before it gives its partitions away.
    for (let round = 0; round < 5; round += 1) {
      const dying = await Promise.all(
        POINTS.map((point) => system.launch('analytics', { CRASH_AT: JSON.stringify({ ...point, call: 1 + round }) })),
      );
      let dead = 0;
      for (const { exited } of dying) void exited.then((code) => (dead += code === null ? 1 : 0));
      await until(`four members have died for the ${round + 1}. time`, () => dead === dying.length, {
        timeoutMs: 180_000,
        about: () => dying.map((member) => member.log()).join('\n'),
      });
    }
    const survivor = await system.start('analytics');
    await expectCounted(load);
    await stopAll(survivor);
  });
});

describe('invariant 13: a member that dies', () => {
  it('at any step of parking or dropping a record parks it once, and drops it once', async () => {
    const counted = await databaseOf(system, 'analytics');
    const rows = async () =>
      (await counted.query('select id, settled_as from parked where key = $1', [stranger])).rows as {
        id: string;
        settled_as: string | null;
      }[];
    const waiting = async () =>
      Number((await counted.query('select sum(parked) as count from consumer_offsets')).rows[0].count);

    const stranger = randomUUID();
    await produce(system, [{ key: stranger, value: '\u0000', headers: { traceparent: '\u0000' } }]);
    await dieAt(system, 'analytics', [
      { sql: '^insert into parked\\s', when: 'before' },
      { sql: '^insert into parked\\s', when: 'after' },
    ]);
    expect(await rows()).toEqual([]);
    const survivor = await system.start('analytics');
    await until('it is parked', async () => (await rows()).length === 1);
    expect(await waiting()).toBe(1);
    await stopAll(survivor);

    const [parked] = await rows();
    const data = { id: `analytics-${parked?.id}`, by: 'test', reason: 'of a stranger' };
    await send(system, 'analytics.queries', JSON.stringify({ pattern: 'analytics.parked.drop', data }));
    await dieAt(system, 'analytics', [
      { sql: '^with settled', when: 'before' },
      { sql: '^with settled', when: 'after' },
    ]);
    expect(await rows()).toMatchObject([{ settled_as: null }]);
    const last = await system.start('analytics');
    await until('it is dropped', async () => (await rows())[0]?.settled_as === 'dropped');
    expect(await waiting()).toBe(0);
    const { rows: acts } = await counted.query('select act, outcome from parked_acts where parked_id = $1', [
      parked?.id,
    ]);
    expect(acts).toEqual([{ act: 'drop', outcome: 'done' }]);
    await stopAll(last);
    await counted.end();
  });
});

describe('invariant 11: a member that was stopped in the middle of a batch', () => {
  const stoppedAt = (sql: string, when: 'before' | 'after') =>
    system.start('analytics', { CRASH_AT: JSON.stringify({ sql, when, call: 5, signal: 'SIGSTOP' }) });

  it('is replaced, one that holds the lock of its partition too, and does no harm when it wakes up', async () => {
    const sleepers = await Promise.all([
      stoppedAt('^update consumer_offsets set next_offset', 'after'),
      stoppedAt('^select o.next_offset', 'before'),
    ]);
    const other = await system.start('analytics');
    const load = light();
    for (const sleeper of sleepers)
      await until('it stands still', () =>
        sleeper.readiness().then(
          () => false,
          () => true,
        ),
      );
    await expectCounted(load);
    const more = light();
    for (const sleeper of sleepers) sleeper.kill('SIGCONT');
    await pause(2_000);
    await expectCounted(more);
    await Promise.all(sleepers.map((sleeper) => sleeper.untilReady()));
    await stopAll(other, ...sleepers);
  });
});

describe('invariants 8 and 11: a log that was lost and is published anew', () => {
  it('under load is counted on, each event once', async () => {
    const analytics = await system.start('analytics');
    const load = light();
    await pause(1_000);
    await loseLog(system);
    await pause(1_000);
    await expectCounted(load);
    await stopAll(analytics);
  });

  it('while nobody counts leaves offsets past the end: reading begins anew, and what was counted is dropped', async () => {
    await stopAll(orders);
    await loseLog(system);
    const analytics = await system.start('analytics');
    const database = await databaseOf(system, 'analytics');
    const highest = async () =>
      Number((await database.query('select max(next_offset) as at from consumer_offsets')).rows[0].at);
    await until('no offset lies past the end', async () => (await highest()) === 0);
    await database.end();
    orders = await system.start('orders');
    await expectCounted(light());
    await stopAll(analytics);
  });
});

describe('invariants 8, 10 and 13: records that are not as they should be', () => {
  let analytics: OwnService;
  let events: pg.Client;
  let counted: pg.Client;
  let topic: string;

  beforeAll(async () => {
    topic = topicOf(system, 'order.events');
    analytics = await system.start('analytics');
    [events, counted] = await Promise.all([databaseOf(system, 'orders'), databaseOf(system, 'analytics')]);
    await expectCounted();
  });
  afterAll(async () => {
    await Promise.all([events?.end(), counted?.end()]);
    await stopAll(analytics);
  });

  async function post(path: string, body: object): Promise<{ id: string; version: number }> {
    const key = randomUUID();
    const send = () =>
      fetch(`${gateway.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(15_000),
      });
    let response = await send();
    // The gateway may not have noticed yet that orders is back.
    for (const late = performance.now() + 30_000; response.status === 503 && performance.now() < late; await pause(100))
      response = await send();
    if (!response.ok) throw new Error(`${path} answers ${response.status}: ${await response.text()}`);
    const order = (await response.json()) as { id: string; version: number };
    if (path === '/v1/orders') placed.set(key, order);
    return order;
  }
  const lines = [{ sku: 'A-1', quantity: 1, unitPrice: 100 }];
  const place = () => post('/v1/orders', { customerId: 'c-1', currency: 'EUR', lines });
  async function placeInto(partition: number): Promise<string> {
    for (let tries = 0; tries < 200; tries += 1) {
      const { id } = await place();
      if (partitionOf(id) === partition) return id;
    }
    throw new Error(`No order of 200 belongs to partition ${partition}.`);
  }

  const summary = () => summaryOf(gateway.url);
  const untilPlaced = (count: number) =>
    until(`${count} orders are counted`, async () => (await summary()).orders.placed === count);
  const parkedRows = async (columns: string) =>
    (await counted.query(`select ${columns} from parked where settled_as is null order by id`)).rows as Record<
      string,
      unknown
    >[];
  const untilEventsSay = (pattern: RegExp) =>
    until(`readiness says ${pattern}`, async () => {
      const { httpStatus, checks } = await analytics.readiness();
      return httpStatus === 200 && pattern.test(checks['events']?.reason ?? '');
    });
  const untilEventsAreWell = () =>
    until('readiness says that all events are counted', async () => {
      return (await analytics.readiness()).checks['events']?.status === 'ok';
    });

  /** The headers of what would come next in a partition. */
  async function headersOf(orderId: string, changes: Record<string, string | undefined> = {}) {
    const { rows } = await counted.query('select mark from consumer_offsets where topic = $1 and partition = $2', [
      topic,
      partitionOf(orderId),
    ]);
    const mark = BigInt(rows[0].mark);
    const { rows: logs } = await events.query('select epoch from log');
    const headers = {
      ce_specversion: '1.0',
      ce_id: `${orderId}:1`,
      ce_type: 'order.placed.v1',
      ce_source: '/tandem/orders',
      ce_subject: orderId,
      ce_time: new Date().toISOString(),
      'content-type': 'application/json',
      position: String(mark + 1n),
      prev: String(mark),
      epoch: logs[0].epoch as string,
      version: '1',
      ...changes,
    };
    return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)) as Record<
      string,
      string
    >;
  }

  it('without a prev are parked with their reason, move no mark and hold no order back', async () => {
    const before = (await summary()).orders;
    const { id } = await place();
    await untilPlaced(before.placed + 1);
    await produce(system, [{ key: id, value: '{}', headers: await headersOf(id, { prev: undefined }) }]);
    await until('it is parked', async () => (await summary()).parked === 1);
    const [row] = await parkedRows('id, cause, reason, order_id, position, headers');
    expect(row).toMatchObject({ cause: 'foreign', reason: expect.stringContaining('prev'), order_id: null });
    await post(`/v1/orders/${id}/cancel`, {});
    await until('its cancellation is counted', async () => {
      return (await summary()).orders.cancelled === before.cancelled + 1;
    });
    await expectReadinessParked('1 records are parked');
    await post(`/v1/admin/parked/analytics-${row?.['id']}/drop`, { reason: 'written by a stranger' });
    expect((await summary()).parked).toBe(0);
  });

  it('with a position that nobody gave stop their partition, which goes on with what comes after its mark', async () => {
    const before = (await summary()).orders.placed;
    const { id } = await place();
    await untilPlaced(before + 1);
    const { rows } = await events.query('select position, order_id, max(position) over () + 8 as next from events');
    // What comes before in another partition can never be what comes before in this one.
    const elsewhere = rows.find((row) => partitionOf(row.order_id) !== partitionOf(id));
    const [position, prev] = [String(elsewhere.next), String(elsewhere.position)];
    await produce(system, [{ key: id, value: '{}', headers: await headersOf(id, { position, prev }) }]);
    await untilEventsSay(/has a gap at offset \d+/);
    await placeInto(partitionOf(id));
    await untilPlaced(placed.size);
    // Once the real log has passed that position it is a repeat like any other.
    await Promise.all(Array.from({ length: 8 }, place));
    await placeInto(partitionOf(id));
    await untilPlaced(placed.size);
    await untilEventsAreWell();
    expect((await summary()).parked).toBe(0);
  });

  it('that cannot be read are parked with what follows of their order; the rest flows, and redriving counts them', async () => {
    const { orders: before } = await summary();
    // Somebody else publishes the first event, as garbage, before the relay does.
    await stopAll(orders);
    await events.query("select pg_advisory_lock(77, hashtext('kafka'))");
    orders = await system.start('orders');
    const { id } = await place();
    await post(`/v1/orders/${id}/cancel`, { reason: 'changed my mind' });
    await Promise.all(Array.from({ length: 30 }, place));
    const { rows } = await events.query('select position, data::text from events where order_id = $1 and version = 1', [
      id,
    ]);
    const headers = await headersOf(id, { position: String(rows[0].position) });
    await produce(system, [{ key: id, value: '{"customerId":', headers }]);
    await events.query("select pg_advisory_unlock(77, hashtext('kafka'))");

    await untilPlaced(before.placed + 30);
    await until('both are parked', async () => (await summary()).parked === 2);
    expect(await parkedRows('order_id, cause, reason')).toEqual([
      { order_id: id, cause: 'unreadable', reason: expect.stringContaining('not JSON') },
      { order_id: id, cause: 'behind', reason: 'an earlier event of its order is parked' },
    ]);
    expect((await summary()).orders).toMatchObject({ placed: before.placed + 30, cancelled: before.cancelled });
    await expectReadinessParked('2 records are parked');
    await expectRedriveWaitsItsTurn((await parkedRows('id'))[0]?.['id'], partitionOf(id));

    const redrive = (more: object = {}) =>
      runTool('analytics', 'src/redrive.ts', { ...system.environment, ...more }, `--order=${id}`);
    expect(await redrive()).toMatchObject({ code: 1, log: expect.stringContaining('0 counted, 2 left') });
    await counted.query('update parked set value = $2 where order_id = $1 and cause <> $3', [
      id,
      Buffer.from(rows[0].data),
      'behind',
    ]);
    // Killed at any step, it has counted nothing, and both wait as before.
    for (const point of [
      { sql: '^with settled', when: 'before' },
      { sql: '^with settled', when: 'after' },
      { sql: '^commit$', when: 'before' },
    ])
      expect(await redrive({ CRASH_AT: JSON.stringify({ call: 1, ...point }) })).toMatchObject({ code: null });
    expect(await summary()).toMatchObject({
      orders: { placed: before.placed + 30, cancelled: before.cancelled },
      parked: 2,
    });
    expect(await redrive()).toMatchObject({ code: 0, log: expect.stringContaining('2 counted, 0 left') });
    expect(await summary()).toMatchObject({
      orders: { placed: before.placed + 31, cancelled: before.cancelled + 1 },
      parked: 0,
    });
  });

  it('of an unknown epoch stop their partition alone, until the log is published anew', async () => {
    const before = (await summary()).orders.placed;
    const { id } = await place();
    await untilPlaced(before + 1);
    await produce(system, [{ key: id, value: '{}', headers: await headersOf(id, { epoch: randomUUID() }) }]);
    await untilEventsSay(/is held back: offset \d+ is of epoch/);
    const more = await Promise.all(Array.from({ length: 30 }, place));
    const isHeldBack = (order: { id: string }) => partitionOf(order.id) === partitionOf(id);
    while (!more.some(isHeldBack)) more.push(await place());
    const elsewhere = more.filter((order) => !isHeldBack(order));
    await untilPlaced(before + 1 + elsewhere.length);
    await loseLog(system);
    await expectCounted();
    await untilEventsAreWell();
  });

  /** While somebody else has the lock of the partition, redriving is refused, and nothing is done. */
  async function expectRedriveWaitsItsTurn(row: unknown, partition: number): Promise<void> {
    await counted.query('begin');
    await counted.query('select 1 from consumer_offsets where partition = $1 for update', [partition]);
    const response = await fetch(`${gateway.url}/v1/admin/parked/analytics-${row}/redrive`, { method: 'POST' });
    await counted.query('rollback');
    expect(await response.json()).toMatchObject({ status: 503, code: 'unavailable', retryable: true });
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await summary()).parked).toBe(2);
  }

  const expectReadinessParked = async (reason: string) =>
    expect(await analytics.readiness()).toMatchObject({
      httpStatus: 200,
      checks: { parked: { status: 'degraded', reason } },
    });
});
