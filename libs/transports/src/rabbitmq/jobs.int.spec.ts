import { setTimeout as pause } from 'node:timers/promises';
import { Controller, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { JobDeferredError, JobFailedError, JobHopelessError, JobNotStartedError } from './job-errors.ts';
import type { Job } from './job-message.ts';
import { JobPublisher } from './job-publisher.ts';
import { JobContext, JobServer, type JobServerOptions, type ParkedJob } from './job-server.ts';
import { declareJobs, type JobTopology } from './job-topology.ts';
import { MessagePipe } from './message.pipe.ts';
import { PlainClient, queueName, RABBITMQ_URL, TcpProxy, until } from './rabbitmq.testing.ts';

const JobData = z.strictObject({ n: z.int() });
type Run = { n: number; at: number; context: JobContext };

/** What the test wants done with each job. */
class Work {
  readonly runs: Run[] = [];
  readonly done: number[] = [];
  handle: (n: number, context: JobContext) => Promise<void> = () => Promise.resolve();
}

@Controller()
class JobsController {
  constructor(@Inject(Work) private readonly work: Work) {}

  @EventPattern<string>('make')
  async make(@Payload({ schema: JobData }) { n }: z.infer<typeof JobData>, @Ctx() context: JobContext): Promise<void> {
    this.work.runs.push({ n, at: performance.now(), context });
    await this.work.handle(n, context);
    this.work.done.push(n);
  }
}

@Module({})
class JobsModule {
  static of(work: Work) {
    return { module: JobsModule, controllers: [JobsController], providers: [{ provide: Work, useValue: work }] };
  }
}

let topology: JobTopology;
let plain: PlainClient;
let publisher: JobPublisher;
let work: Work;
let parked: ParkedJob[];
let closing: (() => Promise<unknown>)[];

function newTopology(waitsMs: readonly number[]): JobTopology {
  const prefix = queueName();
  return {
    exchange: `${prefix}.jobs`,
    kinds: ['make', 'mend'],
    byHeaders: `${prefix}.by-headers`,
    queues: [
      { name: `${prefix}.plain`, headers: { urgency: 'none' } },
      { name: `${prefix}.urgent`, headers: { urgency: 'high' } },
    ],
    retries: waitsMs.map((waitMs) => ({ name: `${prefix}.wait.${waitMs}`, waitMs })),
    dead: `${prefix}.dead`,
  };
}

function newPublisher(url = RABBITMQ_URL, onFailure: (reason: string) => void = () => undefined): JobPublisher {
  return new JobPublisher({ url, name: 'test jobs', topology, confirmTimeoutMs: 10_000, onFailure });
}

beforeEach(async () => {
  topology = newTopology([60, 120, 3_000]);
  plain = await PlainClient.open();
  publisher = newPublisher();
  work = new Work();
  parked = [];
  closing = [];
  await until('the publisher is ready', () => publisher.notReadyReason === undefined);
});

afterEach(async () => {
  for (const close of closing.reverse()) await close();
  await publisher.close();
  for (const name of queuesOf(topology)) await plain.channel.deleteQueue(name);
  await plain.channel.deleteExchange(topology.exchange);
  await plain.channel.deleteExchange(topology.byHeaders);
  await plain.close();
});

const queuesOf = ({ queues, retries, dead }: JobTopology) =>
  [...queues, ...retries].map(({ name }) => name).concat(dead);

/** A Nest microservice that takes jobs. */
async function startWorker(more: Partial<JobServerOptions> = {}): Promise<JobServer> {
  const server = new JobServer({
    url: RABBITMQ_URL,
    name: 'test worker',
    topology,
    prefetchCount: 4,
    attemptsMax: 3,
    confirmTimeoutMs: 10_000,
    park: (job) => {
      parked.push(job);
      return Promise.resolve();
    },
    ...more,
  });
  const app = await NestFactory.createMicroservice(JobsModule.of(work), { strategy: server, logger: false });
  app.useGlobalPipes(new MessagePipe());
  await app.listen();
  closing.push(() => app.close());
  await until('the worker is ready', () => server.notReadyReason === undefined);
  return server;
}

const job = (n: number, urgency = 'none', kind = 'make'): Job => {
  return { kind, key: `job-${n}`, data: { n }, headers: { urgency } };
};
const plainQueue = () => topology.queues[0]?.name ?? '';
const waiting = async (queue: string) => (await plain.channel.checkQueue(queue)).messageCount;
const allGone = async () => {
  const counts = await Promise.all(queuesOf(topology).map(waiting));
  return counts.every((count) => count === 0);
};

describe('published jobs', () => {
  test('reach each queue by kind and by headers, and nobody else', async () => {
    const seen: Record<string, string[]> = { make: [], mend: [], urgent: [], everything: [] };
    const listen = async (name: string, exchange: string, key: string, headers: object) => {
      const { queue } = await plain.channel.assertQueue('', { exclusive: true });
      await plain.channel.bindQueue(queue, exchange, key, headers);
      const note = (message: { properties: { messageId: unknown } } | null) =>
        void seen[name]?.push(String(message?.properties.messageId));
      await plain.channel.consume(queue, note, { noAck: true });
    };
    await listen('make', topology.exchange, 'make', {});
    await listen('mend', topology.exchange, 'mend', {});
    await listen('urgent', topology.byHeaders, '', { 'x-match': 'all', urgency: 'high' });
    await listen('everything', topology.byHeaders, '', { 'x-match': 'all' });
    await publisher.publish([job(1), job(2, 'high'), job(3, 'none', 'mend'), job(4, 'high', 'mend')]);
    await until('all are seen', () => seen['everything']?.length === 4);
    expect(seen).toEqual({
      make: ['job-1', 'job-2'],
      mend: ['job-3', 'job-4'],
      urgent: ['job-2', 'job-4'],
      everything: ['job-1', 'job-2', 'job-3', 'job-4'],
    });
    expect(await Promise.all(topology.queues.map(({ name }) => waiting(name)))).toEqual([2, 2]);
  });

  test('that no queue takes are a failure, though the broker confirms them, and what is missing is made again', async () => {
    await expect(publisher.publish([job(1, 'unheard of')])).rejects.toThrow('No queue takes');
    await until('the publisher is ready', () => publisher.notReadyReason === undefined);
    await plain.channel.deleteQueue(plainQueue());
    await expect(publisher.publish([job(2), job(3, 'high')])).rejects.toThrow('No queue takes');
    await until('it is published', () =>
      publisher.publish([job(2), job(3, 'high')]).then(
        () => true,
        () => false,
      ),
    );
    expect(await waiting(plainQueue())).toBe(1);
  });

  test('are refused at once while the broker is away, and taken when it is back', async () => {
    const proxy = await TcpProxy.listen();
    const failures: string[] = [];
    const remote = newPublisher(proxy.url, (reason) => failures.push(reason));
    closing.push(
      () => proxy.close(),
      () => remote.close(),
    );
    await until('it is ready', () => remote.notReadyReason === undefined);
    proxy.refuse();
    await until('it notices', () => remote.notReadyReason !== undefined);
    await expect(remote.publish([job(1)])).rejects.toMatchObject({ name: 'NotTakenError' });
    proxy.accept();
    await until('it is ready again', () => remote.notReadyReason === undefined);
    await remote.publish([job(1)]);
    const before = [...failures];
    expect(before).toContain('The connection to RabbitMQ was lost');
    await remote.close();
    // That it is closed is no failure.
    expect(failures).toEqual(before);
  });
});

describe('a worker', () => {
  test('runs a job, and acks it when it is done', async () => {
    await startWorker();
    await publisher.publish([job(1)]);
    await until('it is done', () => work.done.length === 1);
    await until('it is gone', allGone);
  });

  test('has acked nothing before: when its connection is cut, another gets the job', async () => {
    const proxy = await TcpProxy.listen();
    closing.push(() => proxy.close());
    const finish = Promise.withResolvers<void>();
    work.handle = (_n, context) => (context.message.fields.redelivered ? Promise.resolve() : finish.promise);
    await startWorker({ url: proxy.url });
    await publisher.publish([job(1)]);
    await until('it runs', () => work.runs.length === 1);
    await startWorker();
    proxy.cut();
    await until('it has run elsewhere', () => work.done.length === 1);
    finish.resolve();
    await until('it is gone', allGone);
    expect(parked).toEqual([]);
  });

  test('lets a failed job wait longer each time, says what happened in its headers, and parks it in the end', async () => {
    work.handle = () => Promise.reject(new JobFailedError('the machine is broken'));
    await startWorker();
    const started = Date.now();
    await publisher.publish([{ ...job(7), traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }]);
    await until('it is parked', () => parked.length === 1);
    expect(work.runs.map(({ context }) => context.attempt)).toEqual([1, 2, 3]);
    const [first, second, third] = work.runs as [Run, Run, Run];
    // The first wait is 60 or 120 ms, the second 120 ms or 3 s; a broker may be late, never early.
    expect(second.at - first.at).toBeGreaterThan(55);
    expect(third.at - second.at).toBeGreaterThan(115);
    expect(first.context.firstFailedAt).toBeUndefined();
    expect(second.context.lastFailure).toBe('the machine is broken');
    expect(third.context.firstFailedAt).toBe(second.context.firstFailedAt);
    expect(Date.parse(third.context.firstFailedAt ?? '')).toBeGreaterThanOrEqual(started - 1);
    expect(third.context.traceparent).toBe('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    expect(parked[0]).toMatchObject({ attempt: 3, reason: 'the machine is broken', queue: plainQueue() });
    expect(parked[0]?.properties.messageId).toBe('job-7');
    await until('it is gone', allGone);
  });

  test('gets a short wait back before a long one that began earlier', async () => {
    work.handle = (n, { attempt }) =>
      n === 1 && attempt === 3 ? Promise.reject(new JobFailedError('once more')) : fails(n, attempt);
    const fails = (n: number, attempt: number) =>
      n === 2 && attempt === 1 ? Promise.reject(new JobFailedError('once more')) : Promise.resolve();
    await startWorker({ attemptsMax: 5 });
    const content = Buffer.from(JSON.stringify({ pattern: 'make', data: { n: 1 } }));
    const options = { messageId: 'job-1', headers: { urgency: 'none', 'x-attempt': 3 } };
    await publisher.send(plainQueue(), content, options);
    await until('the first waits', () => work.runs.length === 1);
    await publisher.publish([job(2)]);
    await until('both are done', () => work.done.length === 2);
    expect(work.done).toEqual([2, 1]);
  });

  test('parks at once what cannot succeed: no job, no handler, broken data, a hopeless one', async () => {
    work.handle = () => Promise.reject(new JobHopelessError('there is no such order'));
    await startWorker();
    await publisher.send(plainQueue(), Buffer.from('{'), { messageId: 'no-json' });
    await publisher.publish([job(1, 'none', 'mend'), { ...job(2), data: { n: 'two' } }, job(3)]);
    await until('four are parked', () => parked.length === 4);
    expect(parked.map(({ reason }) => reason).sort()).toEqual([
      'The data of the message breaks its schema',
      'no handler for jobs of mend',
      'not a job',
      'there is no such order',
    ]);
    expect(parked.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    await until('they are gone', allGone);
  });

  test('that cannot park keeps the job, and parks it later', async () => {
    work.handle = () => Promise.reject(new JobHopelessError('no'));
    let away = true;
    await startWorker({
      park: (message) => {
        if (away) return Promise.reject(new Error('The database is away'));
        parked.push(message);
        return Promise.resolve();
      },
    });
    await publisher.publish([job(1)]);
    await until('it has run', () => work.runs.length > 0);
    away = false;
    await until('it is parked', () => parked.length === 1);
    await until('it is gone', allGone);
  });

  test('parks a failed job whose headers leave no room for those of a retry', async () => {
    work.handle = () => Promise.reject(new JobFailedError('once more'));
    await startWorker();
    const content = Buffer.from('{"pattern":"make","data":{"n":1}}');
    await publisher.send(plainQueue(), content, { headers: { urgency: 'none', pad: 'x'.repeat(65_450) } });
    await until('it is parked', () => parked.length === 1);
    expect(parked[0]?.reason).toMatch(/^once more; it cannot wait for a retry: /);
    await until('it is gone', allGone);
  });

  test('has jobs that lack the headers of their queue come back to it, so that they block nobody who waits', async () => {
    work.handle = (_n, { attempt }) =>
      attempt === 1 ? Promise.reject(new JobFailedError('once more')) : Promise.resolve();
    await startWorker();
    const content = (n: number) => Buffer.from(JSON.stringify({ pattern: 'make', data: { n } }));
    // More than the broker moves at once from a queue where jobs wait.
    await Promise.all(Array.from({ length: 80 }, (_, n) => publisher.send(plainQueue(), content(n), {})));
    await publisher.publish([job(80)]);
    await until('all are done', () => work.done.length === 81);
    await until('they are gone', allGone);
  });

  test('parks what the broker has given up', async () => {
    await startWorker();
    await publisher.send(topology.dead, Buffer.from('{"pattern":"make","data":{"n":1}}'), { messageId: 'job-1' });
    await until('it is parked', () => parked.length === 1);
    expect(parked[0]).toMatchObject({ queue: topology.dead, reason: 'returned too often' });
  });

  test('that is paused leaves jobs on their queue, without counting an attempt, until it is resumed', async () => {
    const server = await startWorker();
    work.handle = () => {
      server.pause('the machine is away');
      return Promise.reject(new JobNotStartedError('the machine is away'));
    };
    await publisher.publish([1, 2, 3].map((n) => job(n)));
    await until('all are back', async () => (await waiting(plainQueue())) === 3);
    const runs = work.runs.length;
    expect(server.pausedReason).toBe('the machine is away');
    // Long enough for a loop to show.
    await pause(300);
    expect(work.runs.length).toBe(runs);
    work.handle = () => Promise.resolve();
    server.resume();
    await until('all are done', () => work.done.length === 3);
    expect(work.runs.slice(-3).map(({ context }) => context.attempt)).toEqual([1, 1, 1]);
  });

  test('lets a deferred job wait for as long as it asks at least, without counting an attempt', async () => {
    const deferred = [100, 100, 100, 100];
    work.handle = () => {
      const waitMs = deferred.pop();
      return waitMs === undefined ? Promise.resolve() : Promise.reject(new JobDeferredError('not yet', waitMs));
    };
    await startWorker({ attemptsMax: 2 });
    await publisher.publish([{ ...job(1), traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }]);
    await until('it is done', () => work.done.length === 1);
    expect(work.runs.map(({ context }) => context.attempt)).toEqual([1, 1, 1, 1, 1]);
    // 60 ms would be too short, so each wait was of 120 ms.
    for (const [index, { at }] of work.runs.slice(1).entries())
      expect(at - (work.runs[index] as Run).at).toBeGreaterThan(115);
    expect(work.runs.at(-1)?.context.traceparent).toBe('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    await until('it is gone', allGone);
    expect(parked).toEqual([]);
  });

  test('that is paused runs one job when it is told to, of the least urgent queue that has one', async () => {
    const server = await startWorker();
    server.pause('the machine is away');
    await until('nothing is consumed', async () => {
      const found = await Promise.all(topology.queues.map(({ name }) => plain.channel.checkQueue(name)));
      return found.every(({ consumerCount }) => consumerCount === 0);
    });
    expect(await server.runOne()).toBe('none');
    await publisher.publish([job(1), job(2), job(10, 'high')]);
    for (const done of [1, 2, 3]) {
      expect(await server.runOne()).toBe('done');
      expect(work.done).toHaveLength(done);
    }
    expect(work.done).toEqual([1, 2, 10]);
    expect(await server.runOne()).toBe('none');
    await until('they are gone', allGone);
  });

  test('that is slow holds up nobody: every other job is done while it still runs', async () => {
    const finish = Promise.withResolvers<void>();
    work.handle = (n) => (n === 0 ? finish.promise : Promise.resolve());
    await startWorker({ prefetchCount: 1 });
    await publisher.publish([job(0)]);
    await until('the slow one runs', () => work.runs.length === 1);
    await startWorker({ prefetchCount: 1 });
    await publisher.publish(Array.from({ length: 50 }, (_, index) => job(index + 1)));
    await until('the others are done', () => work.done.length === 50);
    expect(work.done).not.toContain(0);
    finish.resolve();
    await until('all are done', () => work.done.length === 51);
  });

  test('takes urgent jobs before a backlog of a thousand others', async () => {
    work.handle = () => pause(2);
    await publisher.publish(Array.from({ length: 1_000 }, (_, index) => job(index)));
    await publisher.publish(Array.from({ length: 20 }, (_, index) => job(10_000 + index, 'high')));
    await startWorker();
    await until('the urgent ones are done', () => work.done.filter((n) => n >= 10_000).length === 20, 30_000);
    expect(work.done.filter((n) => n < 10_000).length).toBeLessThan(200);
    await until('all are done', () => work.done.length === 1_020, 30_000);
  });

  test('that stops finishes what it has begun and leaves the rest', async () => {
    work.handle = () => pause(50);
    await publisher.publish(Array.from({ length: 40 }, (_, index) => job(index)));
    await startWorker({ prefetchCount: 2 });
    await until('some have begun', () => work.runs.length >= 2);
    await closing.pop()?.();
    expect(work.done.length).toBe(work.runs.length);
    await until('the rest waits', async () => (await waiting(plainQueue())) === 40 - work.done.length);
  });
});

test('declaring twice changes nothing', async () => {
  await declareJobs(plain.channel, topology);
  await publisher.publish([job(1)]);
  await declareJobs(plain.channel, topology);
  expect(await waiting(plainQueue())).toBe(1);
});
