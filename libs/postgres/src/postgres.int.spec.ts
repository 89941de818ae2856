import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { lookAtDatabase, MeasuredClock } from './clock.ts';
import { createDatabase, databaseUrl, dropDatabase, migrate } from './database.ts';
import { durably, UncertainCommitError } from './durable.ts';
import { isConnectionLost, isNotDone, sqlState } from './errors.ts';
import { leadWheneverPossible, type LeadershipOptions } from './leader.ts';
import { createPool } from './pool.ts';
import { connected, endTransactionTimeout, sessionConfig } from './session.ts';
import { temporaryDatabase, type TemporaryDatabase } from './temporary-database.ts';
import { transaction } from './transaction.ts';

const POSTGRES_URL = process.env['POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres';

let folder: string;
let database: TemporaryDatabase;
let pool: pg.Pool;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tandem-migrations-'));
  const sql =
    '-- Up Migration\ncreate table notes (id bigint primary key, text text);\n-- Down Migration\ndrop table notes;\n';
  writeFileSync(join(folder, '001_notes.sql'), sql);
  const index = 'drop index concurrently if exists by_text;\ncreate index concurrently by_text on notes (text);\n';
  writeFileSync(
    join(folder, '002_notes-by-text.sql'),
    `-- Up Migration\n${index}-- Down Migration\ndrop index by_text;\n`,
  );
  database = await temporaryDatabase(POSTGRES_URL, folder);
  pool = createPool({
    url: database.url,
    name: 'test',
    connectionsMax: 2,
    connectTimeoutMs: 1_000,
    statementTimeoutMs: 2_000,
    lockTimeoutMs: 1_000,
    idleInTransactionTimeoutMs: 1_000,
    onIdleError: () => undefined,
  });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
  rmSync(folder, { recursive: true });
});

const count = async () => Number((await pool.query('select count(*) from notes')).rows[0].count);

describe('a database', () => {
  it('is created and migrated once, however many start at the same time', async () => {
    const name = `tandem_test_${process.pid}_once`;
    const start = async () => {
      await createDatabase(POSTGRES_URL, name);
      await migrate(databaseUrl(POSTGRES_URL, name), folder);
    };
    try {
      await Promise.all([start(), start(), start(), start()]);
      await start();
      const client = new pg.Client(databaseUrl(POSTGRES_URL, name));
      await client.connect();
      expect((await client.query('select * from notes')).rows).toEqual([]);
      const valid = "select indisvalid from pg_index where indexrelid = 'by_text'::regclass";
      expect((await client.query(valid)).rows).toEqual([{ indisvalid: true }]);
      expect((await client.query('select current_user::text as me')).rows).toEqual([{ me: name }]);
      await client.end();
    } finally {
      await dropDatabase(POSTGRES_URL, name);
    }
  });

  it('gives whole numbers of 64 bits as bigint, past 2^53 too', async () => {
    const { rows } = await pool.query('select 9007199254740993::bigint as n');
    expect(rows).toEqual([{ n: 9_007_199_254_740_993n }]);
  });
});

describe('a session, whatever the database and its role have by default,', () => {
  const TEXT = `select timestamptz '2026-02-01 12:00:00.123Z'::text as time, ('{"at":"2026-02-03"}'::json->>'at')::date::text as day,
                       interval '1 day 2 hours'::text as span, '\\xc3'::bytea::text as bytes, (1::float8 / 3)::text as third,
                       current_schemas(false)::text as schemas, current_setting('transaction_isolation') as isolation`;
  const EXPECTED = {
    time: '2026-02-01 12:00:00.123+00',
    day: '2026-02-03',
    span: '1 day 02:00:00',
    bytes: '\\xc3',
    third: '0.3333333333333333',
    schemas: '{public}',
    isolation: 'read committed',
  };
  const TIMEOUTS = `select json_object_agg(name, setting) as timeouts from pg_settings
                     where name ~ '^(statement|lock|transaction|idle_session|idle_in_transaction_session)_timeout$'`;
  /** What the session reads, and those of its time-outs that are not 0. */
  const sessionOf = async (client: pg.Pool | pg.ClientBase) => {
    const { rows } = await client.query<typeof EXPECTED>(TEXT);
    const [{ timeouts }] = (await client.query(TIMEOUTS)).rows as [{ timeouts: Record<string, string> }];
    return { ...rows[0], timeouts: Object.entries(timeouts).filter(([, setting]) => setting !== '0') };
  };

  it('means the same in a pool', async () => {
    const timeouts = [
      ['idle_in_transaction_session_timeout', '1000'],
      ['lock_timeout', '1000'],
      ['statement_timeout', '2000'],
    ];
    const { timeouts: found, ...read } = await sessionOf(pool);
    expect({ ...read, timeouts: found.toSorted() }).toEqual({ ...EXPECTED, timeouts });
  });

  it('means the same on the connection of a leader', async () => {
    const stop = new AbortController();
    let session: Awaited<ReturnType<typeof sessionOf>> | undefined;
    const options = { name: 'session', idleTimeoutMs: 1_500, heartbeatMs: 200, retryMs: 20, statementTimeoutMs: 1_000 };
    await leadWheneverPossible(
      { url: database.url, ...options },
      stop.signal,
      async ({ client }) => {
        session = await sessionOf(client);
        stop.abort();
      },
      () => undefined,
    );
    expect(session).toMatchObject(EXPECTED);
    expect(session?.timeouts.toSorted()).toEqual([
      ['idle_in_transaction_session_timeout', '1500'],
      ['idle_session_timeout', '1500'],
      ['lock_timeout', '1000'],
      ['statement_timeout', '1000'],
    ]);
  });

  it('means the same on a connection for one piece of work, which no time-out of the server ends', async () => {
    expect(await connected(database.url, sessionOf)).toEqual({ ...EXPECTED, timeouts: [] });
  });

  it('keeps the options of its address, but for those that it sets itself', async () => {
    const url = new URL(database.url);
    url.searchParams.set('options', '-c DateStyle=German -c work_mem=8MB');
    const shown = (client: pg.Client) =>
      client.query(`select current_setting('DateStyle') as style, current_setting('work_mem') as memory`);
    expect((await connected(url.href, shown)).rows).toEqual([{ style: 'ISO, MDY', memory: '8MB' }]);
  });
});

describe('a transaction', () => {
  it('keeps what it returns and takes back what it throws', async () => {
    await transaction(pool, (client) => client.query(`insert into notes values (1, 'kept')`));
    const failing = transaction(pool, async (client) => {
      await client.query(`insert into notes values (2, 'taken back')`);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await count()).toBe(1);
  });

  it('that sleeps on its lock is ended by the server, and its connection is replaced', async () => {
    const sleeping = transaction(pool, async (client) => {
      await client.query(`insert into notes values (3, 'asleep')`);
      await pause(2_500);
      await client.query('select 1');
    });
    const error = await sleeping.catch((thrown: unknown) => thrown);
    expect(isConnectionLost(error)).toBe(true);
    expect(await count()).toBe(1);
  });

  it('tells a lost connection from a refusal', async () => {
    const duplicate = await pool.query(`insert into notes values (1, 'again')`).catch((thrown: unknown) => thrown);
    expect([sqlState(duplicate), isConnectionLost(duplicate)]).toEqual(['23505', false]);
    const killed = pool.query('select pg_terminate_backend(pg_backend_pid())').catch((thrown: unknown) => thrown);
    expect(isConnectionLost(await killed)).toBe(true);
    const nowhere = new pg.Client({ host: '127.0.0.1', port: 1 });
    expect(isConnectionLost(await nowhere.connect().catch((thrown: unknown) => thrown))).toBe(true);
    expect(isConnectionLost(new TypeError('x is not a function'))).toBe(false);
  });

  it('tells what was provably not done, and may be done later, from what nobody knows and from what was refused', async () => {
    const thrownBy = (work: Promise<unknown>) => work.then(() => undefined).catch((thrown: unknown) => thrown);
    const holder = new pg.Client(sessionConfig(database.url));
    await holder.connect();
    await endTransactionTimeout(holder);
    await holder.query('begin');
    await holder.query('lock table notes');
    const waitedInVain = await thrownBy(pool.query(`insert into notes values (4, 'late')`));
    await holder.end();
    const tooLong = await thrownBy(pool.query('select pg_sleep(5)'));
    expect([waitedInVain, tooLong].map(sqlState)).toEqual(['55P03', '57014']);
    const unreachable = await thrownBy(new pg.Client({ host: '127.0.0.1', port: 1 }).connect());
    expect([waitedInVain, tooLong, unreachable].map(isNotDone)).toEqual([true, true, true]);
    const cutOff = await thrownBy(pool.query('select pg_terminate_backend(pg_backend_pid())'));
    const duplicate = await thrownBy(pool.query(`insert into notes values (1, 'again')`));
    expect([cutOff, duplicate, new TypeError('x is not a function')].map(isNotDone)).toEqual([false, false, false]);
  });
});

describe('an error of TLS', () => {
  const coded = (code: string) => Object.assign(new Error(code), { code });

  it.each(['DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID'])(
    'in the handshake (%s) means that no connection came about',
    (code) => expect([isConnectionLost(coded(code)), isNotDone(coded(code))]).toEqual([true, true]),
  );

  it('on an open connection means that it is lost, and not that nothing was done', () => {
    const broken = coded('ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC');
    expect([isConnectionLost(broken), isNotDone(broken)]).toEqual([true, false]);
  });
});

describe('the clock of the database', () => {
  it('is measured within the time of a round trip, and tells a host whose clock is wrong', async () => {
    const clock = new MeasuredClock();
    expect(await lookAtDatabase(pool, clock)).toBeUndefined();
    const { rows } = await pool.query<{ before: number }>(
      'select extract(epoch from clock_timestamp())::float8 * 1000 as before',
    );
    const now = clock.nowMs();
    const { rows: after } = await pool.query<{ ms: number }>(
      'select extract(epoch from clock_timestamp())::float8 * 1000 as ms',
    );
    expect(clock.latestMs()).toBeGreaterThanOrEqual((rows[0]?.before as number) - 1);
    expect(now).toBeLessThan((after[0]?.ms as number) + 1_000);
    expect(clock.difference).toBeUndefined();
  });

  it('takes what several exchanges have in common, follows a clock that is set, and stands still rather than go back', () => {
    const clock = new MeasuredClock();
    const start = performance.now();
    const remote = 1_000_000;
    clock.learn(start, start + 1_000, remote + 500);
    clock.learn(start, start + 2, remote + 1);
    expect(clock.latestMs() - performance.now() + start).toBeCloseTo(remote + 1, -1);
    const before = clock.nowMs();
    clock.learn(start + 2, start + 3, remote - 600);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(before);
    clock.learn(start + 3, start + 4, remote - 90_000_000);
    expect(clock.nowMs()).toBeLessThan(before - 80_000_000);
    expect(clock.difference).toMatch(/^this host's clock is .* s ahead of the database's$/);
  });

  it('is not asked of a database that takes no changes without saying so', async () => {
    const url = `${database.url}?options=-c%20default_transaction_read_only%3Don`;
    const limits = { statementTimeoutMs: 2_000, lockTimeoutMs: 1_000, idleInTransactionTimeoutMs: 1_000 };
    const readOnly = createPool({
      url,
      name: 'test',
      connectionsMax: 1,
      connectTimeoutMs: 1_000,
      ...limits,
      onIdleError: () => undefined,
    });
    try {
      expect(await lookAtDatabase(readOnly, new MeasuredClock())).toBe('the database is read-only');
    } finally {
      await readOnly.end();
    }
  });
});

describe('a commit', () => {
  // What the server says when it gives up waiting for its synchronous standby is a warning beside a success.
  it('that was answered with a warning is not taken for durable', async () => {
    const text = `do $$ begin raise warning 'canceling wait for synchronous replication due to user request'; end $$`;
    await expect(durably(pool, (client) => client.query(text))).rejects.toThrow(UncertainCommitError);
  });

  it('that was answered with a warning in the language of the server is not taken for durable', async () => {
    const warning = {
      severity: 'WARNUNG',
      code: '01000',
      message: 'Warten auf synchrone Replikation wird abgebrochen',
    };
    const committed = durably(pool, (client) => {
      client.emit('notice', warning);
      return client.query('select 1');
    });
    await expect(committed).rejects.toThrow(UncertainCommitError);
  });

  it('that was answered with a notice is', async () => {
    const text = `do $$ begin raise notice 'by the way'; end $$`;
    await expect(durably(pool, (client) => client.query(text))).resolves.toBeDefined();
  });
});

describe('leadership', () => {
  const options = (changes: Partial<LeadershipOptions> = {}): LeadershipOptions => ({
    url: database.url,
    name: 'test',
    idleTimeoutMs: 1_000,
    heartbeatMs: 200,
    retryMs: 20,
    statementTimeoutMs: 1_000,
    ...changes,
  });

  it('is held by one at a time, and passes on when the leader stops', async () => {
    const events: string[] = [];
    const stops = [new AbortController(), new AbortController()];
    const runs = stops.map(({ signal }, index) =>
      leadWheneverPossible(
        options({ idleTimeoutMs: 10_000 }),
        signal,
        async (term) => {
          events.push(`${index} leads`);
          await new Promise<void>((over) => term.signal.addEventListener('abort', () => over()));
          events.push(`${index} ends`);
        },
        () => undefined,
      ),
    );
    const leads = async (count: number) => {
      for (const late = performance.now() + 20_000; events.length < count && performance.now() < late;) await pause(10);
    };
    await leads(1);
    await pause(400);
    expect(events).toHaveLength(1);
    const first = Number(events[0]?.[0]);
    stops[first]?.abort();
    await runs[first];
    await leads(3);
    expect(events).toEqual([`${first} leads`, `${first} ends`, `${1 - first} leads`]);
    stops[1 - first]?.abort();
    await Promise.all(runs);
  });

  it('is taken from a leader that says nothing, which can write nothing from then on', async () => {
    const stop = new AbortController();
    const failures: string[] = [];
    let write: unknown = 'not tried';
    await leadWheneverPossible(
      options({ idleTimeoutMs: 200, heartbeatMs: 60_000 }),
      stop.signal,
      async ({ client, signal }) => {
        await new Promise<void>((over) => signal.addEventListener('abort', () => over()));
        write = await client.query(`insert into notes values (9, 'late')`).catch((thrown: unknown) => thrown);
        stop.abort();
      },
      (error) => failures.push(error.message),
    );
    expect(write).toBeInstanceOf(Error);
    expect(await count()).toBe(1);
  });
});
