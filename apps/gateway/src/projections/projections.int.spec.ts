import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import {
  CancelRebuild,
  ProjectionList,
  RebuildProjection,
  RebuildReply,
  type ProjectionStatus,
} from '@tandem/contracts/projections';
import { PROJECTION_QUERIES, topology } from '@tandem/contracts/topology';
import { RabbitMqServer } from '@tandem/transports/rabbitmq/rabbitmq-server';
import { RABBITMQ_URL, until } from '@tandem/transports/rabbitmq/rabbitmq.testing';
import { DEADLINE_MS, removeQueues, settings } from '../gateway.testing.ts';
import { Problem } from '../problem.ts';
import { serve, type Serving } from '../serve.ts';
import { EXAMPLE_PROJECTION } from './projections.docs.ts';

// The gateway on a real RabbitMQ. In the place of analytics is a real server of the same transport, which takes requests as
// the contract has them and answers what each test says; e2e/src/rebuild.e2e.ts has analytics itself.

Logger.overrideLogger(false);

const NAMESPACE = `projections-${randomUUID().slice(0, 8)}`;
const names = topology(NAMESPACE);

let server: RabbitMqServer;
let gateway: Serving;
let url: string;
let asked: RebuildProjection[] = [];
let reply: RebuildReply | undefined;

beforeAll(async () => {
  const queue = names.queues.analyticsControl;
  server = new RabbitMqServer({ url: RABBITMQ_URL, queue, name: queue, prefetchCount: 64 });
  const rebuild = async (data: unknown) => {
    asked.push(RebuildProjection.parse(data));
    if (reply === undefined) await pause(DEADLINE_MS + 300);
    return RebuildReply.parse(reply ?? { outcome: 'not_found' });
  };
  const cancel = async (data: unknown) => {
    const { name } = CancelRebuild.parse(data);
    return name === projection.name ? { outcome: 'accepted', projection } : { outcome: 'not_found' };
  };
  const list = async () => ProjectionList.parse({ data: [projection] });
  server.addHandler(PROJECTION_QUERIES.rebuild, rebuild as never);
  server.addHandler(PROJECTION_QUERIES.cancelRebuild, cancel as never);
  server.addHandler(PROJECTION_QUERIES.list, list as never);
  await server.listen(() => undefined);
  await until('the server is ready', () => server.ready, 30_000);
  gateway = await serve(settings(NAMESPACE));
  url = await gateway.app.getUrl();
});

afterAll(async () => {
  await gateway?.stop();
  await server.close();
  await removeQueues(names);
});

afterEach(() => {
  asked = [];
  reply = undefined;
});

const projection: ProjectionStatus = { ...EXAMPLE_PROJECTION, codeVersion: 2, stale: true };

const rebuild = (name: string, body?: string) =>
  fetch(`${url}/v1/admin/projections/${name}/rebuild`, {
    method: 'POST',
    ...(body !== undefined && { body, headers: { 'content-type': 'application/json' } }),
  });

async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  const problem = Problem.parse(await response.json());
  expect(problem.status).toBe(response.status);
  return problem;
}

/** What the page says that the problem names. */
const aboutIt = async ({ type }: Problem): Promise<unknown> => (await fetch(`${url}${type}`)).json();

describe('POST /v1/admin/projections/{name}/rebuild', () => {
  it('is 202 with the projection and its rebuild; without a body no difference is accepted', async () => {
    reply = { outcome: 'accepted', projection };
    const response = await rebuild('order-counts');
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual(projection);
    expect((await rebuild('order-counts', '{"acceptDifferences":true}')).status).toBe(202);
    expect(asked).toEqual([
      { name: 'order-counts', acceptDifferences: false },
      { name: 'order-counts', acceptDifferences: true },
    ]);
  });

  it('is 404 for a name that there is not, with where to find those that there are', async () => {
    reply = { outcome: 'not_found' };
    const response = await rebuild('order-miscounts');
    expect(response.status).toBe(404);
    const problem = await problemOf(response);
    expect(problem).toMatchObject({
      type: '/problems/projection-not-found',
      code: 'projection_not_found',
      detail: 'There is no projection order-miscounts',
      retryable: false,
    });
    expect(await aboutIt(problem)).toMatchObject({
      advice: expect.stringContaining('/v1/admin/projections'),
    });
    const list = await fetch(`${url}/v1/admin/projections`);
    expect(await list.json()).toEqual({ data: [projection] });
  });

  it('is 409 when the beginning of the log was deleted, with where, and what to do', async () => {
    const detail = 'The log does not begin with its first record: partition 0 begins at offset 5.';
    reply = { outcome: 'truncated', detail };
    const response = await rebuild('order-counts');
    expect(response.status).toBe(409);
    const problem = await problemOf(response);
    expect(problem).toMatchObject({
      type: '/problems/log-truncated',
      code: 'log_truncated',
      detail,
      retryable: false,
    });
    expect(await aboutIt(problem)).toMatchObject({
      advice: expect.stringContaining('npm run recover'),
    });
  });

  it.each([
    ['a name that is none', 'Order_Counts', undefined, { parameter: 'name' }],
    ['an unknown field', 'order-counts', '{"force":true}', { pointer: '/force' }],
    ['another type', 'order-counts', '{"acceptDifferences":"yes"}', { pointer: '/acceptDifferences' }],
  ])('is 400 for %s, and asks nobody', async (_what, name, body, where) => {
    const response = await rebuild(name, body);
    expect(response.status).toBe(400);
    const problem = await problemOf(response);
    expect(problem).toMatchObject({ code: 'invalid_request', errors: [expect.objectContaining(where)] });
    expect(asked).toEqual([]);
  });

  it('is 504 when nobody answers: it may be under way', async () => {
    const response = await rebuild('order-counts');
    expect(response.status).toBe(504);
    expect(await problemOf(response)).toMatchObject({ code: 'no_answer', retryable: true });
  });
});

describe('POST /v1/admin/projections/{name}/rebuild/cancel', () => {
  const cancel = (name: string) => fetch(`${url}/v1/admin/projections/${name}/rebuild/cancel`, { method: 'POST' });

  it('answers 200 with the projection, 404 for an unknown one and 400 for a malformed name', async () => {
    const response = await cancel('order-counts');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual(projection);
    expect(await problemOf(await cancel('order-miscounts'))).toMatchObject({ code: 'projection_not_found' });
    expect(await problemOf(await cancel('Order_Counts'))).toMatchObject({ code: 'invalid_request' });
  });
});
