import { Validator } from '@seriousme/openapi-schema-validator';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { OrderEvent } from '@tandem/contracts/order-events';
import { Ajv } from 'ajv';
import formats from 'ajv-formats';
import { Gateway } from './app.module.ts';
import { readConfig } from './config.ts';
import { openApiDocument } from './openapi.ts';
import { createApp } from './serve.ts';

let app: NestFastifyApplication;
let document: OpenAPIObject;

beforeAll(async () => {
  const config = readConfig({});
  app = await createApp(config, new Gateway(config), false);
  await app.init();
  document = openApiDocument(app);
});
afterAll(() => app.close());

interface Documented {
  name: string;
  operation: NonNullable<OpenAPIObject['paths'][string]['get']>;
}
const operations = (): Documented[] =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    (['get', 'post'] as const).flatMap((method) => {
      const operation = item[method];
      return operation === undefined ? [] : [{ name: `${method.toUpperCase()} ${path}`, operation }];
    }),
  );

describe('the OpenAPI document', () => {
  it('is one, by the schema of OpenAPI itself', async () => {
    const result = await new Validator().validate(JSON.parse(JSON.stringify(document)));
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
  });

  it('has every route below /v1', () => {
    expect(operations().map(({ name }) => name)).toEqual([
      'GET /v1/orders',
      'POST /v1/orders',
      'GET /v1/orders/{id}',
      'GET /v1/orders/{id}/events',
      'POST /v1/orders/{id}/cancel',
      'POST /v1/orders/{id}/ship',
      'POST /v1/orders/{id}/deliver',
      'POST /v1/orders/{id}/refund',
      'GET /v1/analytics/summary',
      'GET /v1/analytics/revenue',
      'GET /v1/analytics/funnel',
      'GET /v1/analytics/durations',
      'GET /v1/analytics/products',
      'GET /v1/analytics/customers',
      'GET /v1/analytics/lag',
      'GET /v1/admin/parked',
      'POST /v1/admin/parked/redrive',
      'GET /v1/admin/parked/{id}',
      'POST /v1/admin/parked/{id}/redrive',
      'POST /v1/admin/parked/{id}/drop',
      'GET /v1/admin/projections',
      'POST /v1/admin/projections/{name}/rebuild',
      'GET /v1/admin/intake',
      'POST /v1/admin/intake',
    ]);
  });

  it('says of every operation what it does and how it may fail', () => {
    for (const { name, operation } of operations()) {
      expect({ name, summary: operation.summary }).toEqual({ name, summary: expect.stringMatching(/\w/) });
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['400', '500', '503', '504']));
    }
  });

  it('has examples that hold to the schemas beside them, each with the request that leads to it', () => {
    const ajv = new Ajv({ strict: false, allErrors: true });
    formats.default(ajv);
    ajv.addSchema({ $id: 'doc', components: document.components });
    let examples = 0;
    for (const { name, operation } of operations())
      for (const [status, response] of Object.entries(operation.responses)) {
        if (response === undefined || '$ref' in response) continue;
        for (const media of Object.values(response.content ?? {}))
          for (const [title, example] of Object.entries(media.examples ?? {})) {
            const schema = JSON.parse(JSON.stringify(media.schema).replaceAll('#/components', 'doc#/components'));
            const where = `${name} ${status} ${title}`;
            ajv.validate(schema, 'value' in example ? example.value : undefined);
            expect({ where, errors: ajv.errors }).toEqual({ where, errors: null });
            expect({ where, request: Object(example)['x-request'] }).toEqual({ where, request: expect.any(Object) });
            examples += 1;
          }
      }
    expect(examples).toBeGreaterThan(20);
  });

  it('has the schema of every event, which the history of an order is made of', () => {
    const titles = OrderEvent.options.map((option) => option.meta()?.id);
    expect(Object.keys(document.components?.schemas ?? {})).toEqual(expect.arrayContaining(titles));
    const dangling = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)]
      .map(([, name]) => name ?? '')
      .filter((name) => document.components?.schemas?.[name] === undefined);
    expect(dangling).toEqual([]);
  });

  it('sends errors as problem documents and nothing else', () => {
    for (const { operation } of operations())
      for (const [status, response] of Object.entries(operation.responses))
        if (Number(status) >= 400 && response !== undefined && 'content' in response)
          expect(Object.keys(response.content ?? {})).toEqual(['application/problem+json']);
  });

  it('is where the root of the server leads', async () => {
    const { statusCode, headers } = await app.inject('/');
    expect([statusCode, headers['location']]).toEqual([302, '/docs']);
  });

  it('is served, with pages to read it', async () => {
    const json = await app.inject('/openapi.json');
    expect(json.json()).toEqual(JSON.parse(JSON.stringify(document)));
    const page = await app.inject('/docs');
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-type']).toMatch('text/html');
    for (const [, asset] of page.body.matchAll(/(?:src|href)="(\.\/[^"]+\.(?:js|css))"/g)) {
      const served = await app.inject(new URL(asset ?? '', 'http://localhost/docs').pathname);
      expect({ asset, status: served.statusCode }).toEqual({ asset, status: 200 });
    }
  });
});
