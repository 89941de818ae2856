import { randomUUID } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { CommandReply } from '@tandem/contracts/order-commands';
import { createPool } from '@tandem/postgres/pool';
import { temporaryDatabase, type TemporaryDatabase } from '@tandem/postgres/temporary-database';
import type { Pool } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { fold } from '../order/order.ts';
import { firstIdAt, orderIds } from '../order/order-ids.ts';
import { ORDER_ID, cancelling, placing, recordingPayment, shipping } from '../order/rulebook.testing.ts';
import type { Command } from './decide-batch.ts';
import { GroupCommit } from './group-commit.ts';
import { load } from './load.ts';
import { storedAnswer } from './stored-answer.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));
const inTime = () => 5_000;

let database: TemporaryDatabase;
let pool: Pool;
const pools: Pool[] = [];

function poolOf(url: string, connectionsMax = 4, ms = 3_000): Pool {
  const limits = { statementTimeoutMs: ms, lockTimeoutMs: ms, idleInTransactionTimeoutMs: ms };
  const created = createPool({
    url,
    name: 'test',
    connectionsMax,
    connectTimeoutMs: 1_000,
    onIdleError: () => undefined,
    ...limits,
  });
  pools.push(created);
  return created;
}

function instance(over: Pool = pool, commandsMax = 500): GroupCommit {
  const onAppended = () => undefined;
  return new GroupCommit({ pool: over, commandsMax, unavailableAfterMs: 500, retryPauseMs: 20, onAppended });
}

function place(changes: Record<string, unknown> = {}, id: string = randomUUID()): Command {
  return { id, payloadHash: id, order: { ...placing(changes), orderId: uuidv7() } };
}

const cancel = (orderId: string, id: string = randomUUID()): Command => ({
  id,
  payloadHash: id,
  order: { ...cancelling(), orderId },
});

const count = async (text: string, values: unknown[] = []) =>
  Number((await pool.query<{ count: bigint }>(`select count(*) from ${text}`, values)).rows[0]?.count);

const acceptedId = (reply: CommandReply) => (reply.outcome === 'accepted' ? reply.order.id : '');

beforeAll(async () => {
  database = await temporaryDatabase(POSTGRES_URL, MIGRATIONS);
  pool = poolOf(database.url);
});

afterEach(async () => {
  for (const extra of pools.splice(1)) await extra.end();
});

afterAll(async () => {
  await Promise.all(pools.map((each) => each.end()));
  await database.drop();
});

describe('a group of commands', () => {
  it('is appended whole, each answer with the position that its event has', async () => {
    const commits = instance();
    const replies = await Promise.all(Array.from({ length: 200 }, () => commits.execute(place(), inTime)));
    const { rows } = await pool.query<{ order_id: string; position: bigint }>('select order_id, position from events');
    const positions = new Map(rows.map((row) => [row.order_id, Number(row.position)]));
    for (const reply of replies)
      expect(reply).toMatchObject({ outcome: 'accepted', order: { position: positions.get(acceptedId(reply)) } });
  });

  it('leaves rows that equal the fold of their events', async () => {
    const commits = instance();
    const placed = await Promise.all(Array.from({ length: 20 }, () => commits.execute(place(), inTime)));
    const ids = placed.map(acceptedId);
    await Promise.all(ids.slice(0, 10).map((id) => commits.execute(cancel(id), inTime)));
    const { streams } = await load(pool, { commandIds: [], orderIds: ids, references: [] });
    const { rows } = await pool.query('select id, state, status, version from orders where id = any($1)', [ids]);
    expect(rows).toHaveLength(20);
    for (const row of rows) {
      const order = fold(streams.get(row.id) ?? []);
      expect(row.state).toEqual(order);
      expect([row.status, row.version]).toEqual([order?.status, order?.version]);
    }
  });

  it('refuses for now, and stores nothing of, a command on an order with an event of a later version', async () => {
    const commits = instance();
    const [later, other] = await Promise.all([place(), place()].map((command) => commits.execute(command, inTime)));
    const orderId = acceptedId(later as CommandReply);
    await pool.query(
      `insert into events (order_id, version, type, data, at) values ($1, 2, 'order.gilded.v1', '{}', now())`,
      [orderId],
    );
    const command = cancel(orderId);
    const [refused, accepted] = await Promise.allSettled([
      commits.execute(command, inTime),
      commits.execute(cancel(acceptedId(other as CommandReply)), inTime),
    ]);
    expect(refused).toMatchObject({ status: 'rejected', reason: { name: 'UnavailableError' } });
    expect(accepted).toMatchObject({ status: 'fulfilled', value: { outcome: 'accepted' } });
    expect(await count('commands where id = $1', [command.id])).toBe(0);
  });

  it('gives 50 orders for 200 parallel placements with 50 ids, spread over three instances', async () => {
    const before = await count('orders');
    const instances = [instance(poolOf(database.url)), instance(poolOf(database.url)), instance(poolOf(database.url))];
    const ids = Array.from({ length: 50 }, () => randomUUID());
    const replies = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        (instances[index % 3] as GroupCommit).execute(place({}, ids[index % 50]), inTime),
      ),
    );
    expect(new Set(replies.map(acceptedId)).size).toBe(50);
    expect(replies.filter((reply) => !reply.replayed)).toHaveLength(50);
    expect((await count('orders')) - before).toBe(50);
  });

  it('answers every command though three instances contend for one order, and one cancellation wins', async () => {
    const instances = [instance(poolOf(database.url)), instance(poolOf(database.url)), instance(poolOf(database.url))];
    const orderId = acceptedId(await (instances[0] as GroupCommit).execute(place(), inTime));
    const replies = await Promise.all(
      Array.from({ length: 300 }, (_, index) => {
        const command = index % 20 === 0 ? cancel(orderId) : place();
        return (instances[index % 3] as GroupCommit).execute(command, inTime);
      }),
    );
    expect(replies.filter((reply) => reply.outcome === 'accepted')).toHaveLength(285 + 1);
    expect(replies.filter((reply) => reply.outcome === 'rejected')).toHaveLength(14);
  });

  it('answers every command in time though every twentieth changes one hot order, at three instances', async () => {
    const instances = [instance(poolOf(database.url)), instance(poolOf(database.url)), instance(poolOf(database.url))];
    const tookMs: number[] = [];
    const execute = async (order: Command['order'], turn = 0) => {
      const id = randomUUID();
      const started = performance.now();
      const reply = await (instances[turn % 3] as GroupCommit).execute({ id, payloadHash: id, order }, inTime);
      tookMs.push(performance.now() - started);
      expect(reply).toMatchObject({ outcome: 'accepted', replayed: false });
      return reply;
    };
    const hot = { orderId: uuidv7() };
    const lines = [{ sku: 'A-1', quantity: 1_000, unitPrice: 100 }];
    await execute({ ...placing({ lines, adjustments: [] }), ...hot });
    await execute({ ...recordingPayment({ amount: 100_000 }), ...hot });
    let turns = 0;
    const customer = async () => {
      for (let turn = turns++; turn < 2_000; turn = turns++)
        await execute(
          turn % 20 === 0 ? { ...shipping([{ id: 1, quantity: 1 }]), ...hot } : { ...placing(), orderId: uuidv7() },
          turn,
        );
    };
    await Promise.all(Array.from({ length: 60 }, customer));
    const { streams } = await load(pool, { commandIds: [], orderIds: [hot.orderId], references: [] });
    expect(fold(streams.get(hot.orderId) ?? [])).toMatchObject({ status: 'paid', version: 102 });
    tookMs.sort((a, b) => a - b);
    expect(tookMs).toHaveLength(2_002);
    expect(tookMs[Math.ceil(0.99 * tookMs.length) - 1]).toBeLessThan(inTime());
  });

  it('refuses a command id that comes again with another payload, across instances', async () => {
    const first = place();
    await instance().execute(first, inTime);
    const reply = await instance(poolOf(database.url)).execute(
      { ...place({}, first.id), payloadHash: randomUUID() },
      inTime,
    );
    expect(reply).toMatchObject({ outcome: 'rejected', rejection: { code: 'key_reused' } });
  });

  it('answers a refusal again as it was, after a restart and a change of state', async () => {
    const commits = instance();
    const orderId = acceptedId(await commits.execute(place(), inTime));
    const early = { id: randomUUID(), payloadHash: randomUUID(), order: { ...shipping(), orderId } } as Command;
    const refused = await commits.execute(early, inTime);
    expect(refused).toMatchObject({ rejection: { code: 'order_not_ready' }, replayed: false });
    const paid = { id: randomUUID(), payloadHash: randomUUID(), order: { ...recordingPayment(), orderId } } as Command;
    expect(await commits.execute(paid, inTime)).toMatchObject({ outcome: 'accepted' });
    const again = await instance(poolOf(database.url)).execute(early, inTime);
    expect(again).toEqual({ ...refused, replayed: true });
  });

  it('tells what a command was answered without deciding it, and nothing of one that was not decided', async () => {
    const command = place();
    expect(await storedAnswer(pool, command)).toBeUndefined();
    const reply = await instance().execute(command, inTime);
    expect(await storedAnswer(pool, command)).toEqual({ ...reply, replayed: true });
    const other = { ...command, payloadHash: randomUUID() };
    expect(await storedAnswer(pool, other)).toMatchObject({ rejection: { code: 'key_reused' } });
    expect(await count('commands where id = $1', [command.id])).toBe(1);
  });

  it('keeps no refusal for the id of an order that never existed', async () => {
    const commits = instance();
    const before = await count('commands');
    const replies = await Promise.all(Array.from({ length: 20 }, () => commits.execute(cancel(uuidv7()), inTime)));
    for (const reply of replies) expect(reply).toMatchObject({ rejection: { code: 'order_not_found' } });
    expect(await count('commands')).toBe(before);
  });

  it('dates what it decides by the clock that it is given, from the first command on', async () => {
    const { rows } = await pool.query<{ now: Date }>(`select now() - interval '25 hours' as now`);
    const now = async () => rows[0]?.now as Date;
    const limits = { commandsMax: 500, unavailableAfterMs: 500, retryPauseMs: 20 };
    const commits = new GroupCommit({ pool, ...limits, onAppended: () => undefined, now });
    const newOrderId = orderIds();
    const reply = await commits.execute({ ...place(), newOrderId }, inTime);
    const { at } = (await pool.query('select at from events where order_id = $1', [acceptedId(reply)])).rows[0];
    expect(at).toEqual(rows[0]?.now);
    expect(acceptedId(reply).slice(0, 13)).toBe(firstIdAt(at.getTime()).slice(0, 13));
  });

  it('gives a reference to one of many parallel claims, and names its order to the others', async () => {
    const instances = [instance(poolOf(database.url)), instance(poolOf(database.url))];
    const claim = { customerId: `c-${randomUUID()}`, reference: 'cart-77' };
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (instances[index % 2] as GroupCommit).execute(place(claim), inTime)),
    );
    const winner = replies.find((reply) => reply.outcome === 'accepted');
    const losers = replies.filter((reply) => reply.outcome === 'rejected');
    expect(losers).toHaveLength(19);
    for (const { rejection } of losers)
      expect(rejection).toEqual({ code: 'reference_taken', orderId: winner && acceptedId(winner) });
  });

  it('fails a command that conflicts with itself for ever, and no other', async () => {
    const commits = instance();
    // The database keeps ids in small letters, so under this one a repeat does not find what was decided. Contracts make
    // ids small before they get here.
    const id = randomUUID().toUpperCase().replace(/^./, 'A');
    await commits.execute(place({}, id), inTime);
    const repeat = commits.execute(place({}, id), () => Infinity);
    const other = commits.execute(place(), inTime);
    await expect(repeat).rejects.toThrow('conflicts with itself');
    await expect(other).resolves.toMatchObject({ outcome: 'accepted' });
  });

  it('does not blame commands for a fault of the database', async () => {
    const commits = instance();
    await pool.query('alter table commands rename to commands_away');
    try {
      await expect(commits.execute(place(), inTime)).rejects.toThrow('"commands" does not exist');
    } finally {
      await pool.query('alter table commands_away rename to commands');
    }
    await expect(commits.execute(place(), inTime)).resolves.toMatchObject({ outcome: 'accepted' });
  });

  it('says that nothing was done when the database refuses the login', async () => {
    const url = new URL(database.url);
    url.pathname = '/no_such_database';
    await expect(instance(poolOf(url.href)).execute(place(), inTime)).rejects.toMatchObject({
      name: 'UnavailableError',
    });
  });

  it.each([
    ['refuses TLS', (socket: Socket) => socket.end('N')],
    [
      'answers TLS with something else',
      (socket: Socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request')).write('S'),
    ],
    ['breaks off the handshake', (socket: Socket) => socket.write('S', () => socket.destroy())],
  ])('takes a server that %s for one that is away, and blames no command', async (_how, answer) => {
    const server = createServer(
      (socket) => void socket.on('error', () => undefined).once('data', () => answer(socket)),
    );
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    try {
      const { port } = server.address() as AddressInfo;
      const over = poolOf(`postgres://nobody@127.0.0.1:${port}/nothing?sslmode=verify-full`);
      const asked = [place(), place()].map((command) => instance(over).execute(command, inTime));
      for (const settled of await Promise.allSettled(asked))
        expect(settled).toMatchObject({ reason: { name: 'UnavailableError' } });
    } finally {
      server.close();
    }
  });

  it('does not run what nobody waits for any more', async () => {
    const before = await count('commands');
    await expect(instance().execute(place(), () => 0)).rejects.toMatchObject({ name: 'UnavailableError' });
    expect(await count('commands')).toBe(before);
  });
});

describe('groups that follow each other', () => {
  const patient = () => poolOf(database.url, 4, 60_000);
  const inMinutes = () => 60_000;

  const appendsWaiting = () =>
    count(`pg_locks where locktype = 'advisory' and objid = 42 and not granted
             and database = (select oid from pg_database where datname = current_database())`);

  async function untilWaiting(appends: number): Promise<void> {
    const lateAt = performance.now() + 20_000;
    while ((await appendsWaiting()) < appends) {
      if (performance.now() > lateAt) throw new Error(`${appends} appends were never under way at once.`);
      await wait(10);
    }
  }

  /** Runs while nobody can append. */
  async function whileLocked(work: () => Promise<void>): Promise<void> {
    const locking = await patient().connect();
    try {
      await locking.query('begin; select pg_advisory_xact_lock(42)');
      await work();
    } finally {
      await locking.query('rollback');
      locking.release();
    }
  }

  it('are under way two at once when they hold placements, and the third gathers what comes', async () => {
    const commits = instance(patient());
    const replies: Promise<CommandReply>[] = [];
    await whileLocked(async () => {
      for (let group = 1; group <= 4; group += 1) {
        replies.push(commits.execute(place(), inMinutes), commits.execute(place(), inMinutes));
        await untilWaiting(Math.min(2, group));
      }
      await wait(200);
      expect(await appendsWaiting()).toBe(2);
    });
    const ids = (await Promise.all(replies)).map(acceptedId);
    expect(await count('events where order_id = any($1)', [ids])).toBe(8);
    // What gathered while two were under way was decided together.
    expect(await count('(select distinct at from events where order_id = any($1)) as groups', [ids])).toBe(3);
  });

  it('wait for each other when one asks something of an order that is there', async () => {
    const commits = instance(patient());
    const orderId = acceptedId(await commits.execute(place(), inMinutes));
    const replies: Promise<CommandReply>[] = [];
    await whileLocked(async () => {
      replies.push(commits.execute(cancel(orderId), inMinutes));
      await untilWaiting(1);
      replies.push(commits.execute(place(), inMinutes));
      await wait(200);
      expect(await appendsWaiting()).toBe(1);
    });
    expect((await Promise.all(replies)).map(({ outcome }) => outcome)).toEqual(['accepted', 'accepted']);
  });

  it('agree on a command that comes again before its first answer', async () => {
    const commits = instance(patient());
    const command = place();
    const replies: Promise<CommandReply>[] = [];
    await whileLocked(async () => {
      replies.push(commits.execute(command, inMinutes));
      await untilWaiting(1);
      replies.push(commits.execute(command, inMinutes));
      await untilWaiting(2);
    });
    const [first, second] = await Promise.all(replies);
    expect([first?.replayed, second?.replayed].sort()).toEqual([false, true]);
    expect(acceptedId(first as CommandReply)).toBe(acceptedId(second as CommandReply));
  });
});

describe('one value that the database cannot store, among a hundred commands', () => {
  // The contract keeps such values out; the append must survive them all the same.
  const poisons: [string, Command['order'], boolean?][] = [
    ['NUL in a text', { ...placing(), body: { ...placing().body, customerId: 'c\u0000' } }],
    // The driver writes UTF-8, in which it becomes U+FFFD: no poison to the database, whatever the contract says.
    ['half a surrogate pair', { ...placing(), body: { ...placing().body, customerId: 'c-\ud800' } }, true],
    ['a key too long for its index', { ...placing(), body: { ...placing().body, customerId: bigText(20_000) } }],
    ['an id that is none', { ...placing(), orderId: 'not-a-uuid' }],
  ];

  it.each(poisons)('%s touches no other command', async (_what, order, storable = false) => {
    const commits = instance();
    const before = await count('orders');
    const orderId = order.orderId === ORDER_ID ? uuidv7() : order.orderId;
    const poison: Command = { id: randomUUID(), payloadHash: randomUUID(), order: { ...order, orderId } };
    const commands = Array.from({ length: 100 }, (_, index) => (index === 37 ? poison : place()));
    const replies = await Promise.all(commands.map((command) => commits.execute(command, inTime)));
    const refused = replies.flatMap((reply, index) => (reply.outcome === 'rejected' ? [{ index, reply }] : []));
    expect(refused).toMatchObject(storable ? [] : [{ index: 37, reply: { rejection: { code: 'unstorable' } } }]);
    expect((await count('orders')) - before).toBe(100 - refused.length);
  });
});

describe('a connection that is lost', () => {
  let proxy: Proxy;
  let throughProxy: Pool;

  beforeAll(async () => {
    proxy = await startProxy(new URL(POSTGRES_URL));
  });
  afterAll(() => proxy.close());

  const throughTheProxy = () => {
    const url = new URL(database.url);
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    throughProxy = poolOf(url.href, 2);
    return instance(throughProxy);
  };

  it('before the append leaves nothing done, and says so when the database stays away', async () => {
    const commits = throughTheProxy();
    proxy.refuse = true;
    const before = await count('commands');
    await expect(commits.execute(place(), inTime)).rejects.toMatchObject({ name: 'UnavailableError' });
    expect(await count('commands')).toBe(before);
    proxy.refuse = false;
    await expect(commits.execute(place(), inTime)).resolves.toMatchObject({ outcome: 'accepted' });
  });

  it('after the append was sent keeps nobody waiting who comes later: they are told that nothing was done', async () => {
    const commits = throughTheProxy();
    await commits.execute(place(), inTime);
    proxy.cutAfter(0, true);
    const settled: string[] = [];
    const execute = (name: string, ms: number) => {
      const end = performance.now() + ms;
      const settling = commits.execute(place(), () => end - performance.now()).catch(({ name }: Error) => name);
      return settling.then((outcome) => settled.push(`${name}: ${String(outcome)}`));
    };
    const sent = execute('sent', 5_000);
    // Gathered while it is on its way, and handed in when the connection has gone.
    await wait(0);
    const asked = [execute('gathered', 5_000)];
    await wait(300);
    asked.push(execute('later', 5_000));
    await Promise.all(asked);
    expect(settled.sort()).toEqual(['gathered: UnavailableError', 'later: UnavailableError']);
    await sent;
    expect(settled.at(-1)).toBe('sent: OutcomeUnknownError');
    proxy.refuse = false;
    expect(await commits.execute(place(), inTime)).toMatchObject({ outcome: 'accepted' });
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7])(
    'around the commit (cut after answer %i) still gives one order and its answer',
    async (answersBeforeCut) => {
      const commits = throughTheProxy();
      await commits.execute(place(), inTime);
      const before = await count('orders');
      proxy.cutAfter(answersBeforeCut);
      const command = place();
      const reply = await commits.execute(command, inTime);
      expect(reply).toMatchObject({ outcome: 'accepted', order: { id: command.order.orderId } });
      expect((await count('orders')) - before).toBe(1);
      expect(await count('commands where id = $1', [command.id])).toBe(1);
    },
  );

  it('right after the commit, for good, leaves the outcome unknown, and a repeat gets the answer', async () => {
    const commits = throughTheProxy();
    await commits.execute(place(), inTime);
    // The append is handed over, and nothing comes back any more.
    proxy.cutAfter(0, true);
    const command = place();
    const soon = performance.now() + 700;
    const asked = commits.execute(command, () => soon - performance.now());
    await expect(asked).rejects.toMatchObject({ name: 'OutcomeUnknownError' });
    proxy.refuse = false;
    await expect(commits.execute(command, inTime)).resolves.toMatchObject({ outcome: 'accepted' });
    expect(await count('commands where id = $1', [command.id])).toBe(1);
  });
});

describe('the guard of the events table', () => {
  it('holds back an insert from elsewhere until the append before it is visible', async () => {
    const appending = await pool.connect();
    const intruder = await pool.connect();
    try {
      await appending.query('begin');
      await appending.query('select pg_advisory_xact_lock(42)');
      const insert = intruder.query(
        `insert into events (order_id, version, type, data, at) values ($1, 1, 'x', '{}', now())`,
        [uuidv7()],
      );
      const first = await Promise.race([insert.then(() => 'insert'), wait(200).then(() => 'nothing')]);
      expect(first).toBe('nothing');
      await appending.query('commit');
      await insert;
      await pool.query(`delete from events where type = 'x'`);
    } finally {
      appending.release();
      intruder.release();
    }
  });
});

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Text that does not compress, so that it is too long for an index. */
function bigText(length: number): string {
  let text = '';
  while (text.length < length) text += randomUUID();
  return text;
}

interface Proxy {
  port: number;
  /** Turns new connections away. */
  refuse: boolean;
  /** Cuts all connections when the server sends its answer number `answers + 1`; `forGood` refuses new ones from then on. */
  cutAfter(answers: number, forGood?: boolean): void;
  close(): Promise<void>;
}

async function startProxy(target: URL): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let answersLeft: number | undefined;
  let forGood = false;
  const server: Server = createServer((client) => {
    if (proxy.refuse) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(target.port || 5432), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('data', (data) => upstream.write(data));
    client.on('close', () => upstream.end());
    upstream.on('close', () => client.destroy());
    upstream.on('data', (data) => {
      if (answersLeft === 0) {
        answersLeft = undefined;
        proxy.refuse = forGood;
        for (const socket of sockets) if (socket !== upstream) socket.destroy();
        return;
      }
      if (answersLeft !== undefined) answersLeft -= 1;
      client.write(data);
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  const proxy: Proxy = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    refuse: false,
    cutAfter(answers, keepAway = false) {
      answersLeft = answers;
      forGood = keepAway;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((closed) => server.close(() => closed()));
    },
  };
  return proxy;
}
