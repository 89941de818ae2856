import { Validator } from '@seriousme/openapi-schema-validator';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { ORDER_EVENT_TYPES } from '@tandem/contracts/order-events';
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

/** With the objects of answers closed: what is not documented must not be in an example. */
function closed<T>(schema: T): T {
  return JSON.parse(JSON.stringify(schema), (_name, value) =>
    Object(value).type === 'object' && value.properties !== undefined
      ? { additionalProperties: false, ...value }
      : value,
  ) as T;
}

describe('the OpenAPI document', () => {
  it('is one, by the schema of OpenAPI itself', async () => {
    const result = await new Validator().validate(JSON.parse(JSON.stringify(document)));
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
  });

  it('passes a linter', async () => {
    const config = await createConfig({
      extends: ['recommended-strict'],
      rules: {
        'no-invalid-media-type-examples': { severity: 'error', allowAdditionalProperties: false },
        'no-invalid-parameter-examples': 'error',
        'no-invalid-schema-examples': 'error',
        'no-http-verbs-in-paths': 'error',
        'operation-4xx-problem-details-rfc7807': 'error',
        'operation-singular-tag': 'error',
        'parameter-description': 'error',
        'paths-kebab-case': 'error',
        'tag-description': 'error',
      },
    });
    const problems = await lintFromString({ source: JSON.stringify(document), config });
    expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual([]);
  });

  it('says that no operation asks for authentication', () => {
    expect(document.security).toEqual([]);
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
      'POST /v1/orders/{id}/refunds/{refundId}/close',
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
      'POST /v1/admin/projections/{name}/rebuild/cancel',
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

  // A generated client compiles patterns without the flag `u`, and a validator of JSON Schemas with it.
  it.each([true, false])('has examples that hold to their schemas, with unicode patterns: %s', (unicodeRegExp) => {
    const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp });
    formats.default(ajv);
    ajv.addSchema({ $id: 'doc', components: closed(document.components) });
    const compiled = (schema: unknown) =>
      ajv.compile(JSON.parse(JSON.stringify(closed(schema)).replaceAll('#/components', 'doc#/components')));
    let examples = 0;
    for (const { name, operation } of operations()) {
      const { requestBody, responses } = operation;
      const sent = requestBody !== undefined && 'content' in requestBody ? requestBody : undefined;
      for (const media of Object.values(sent?.content ?? {})) {
        const validate = compiled(media.schema);
        for (const [title, example] of Object.entries(media.examples ?? {})) {
          validate('value' in example ? example.value : undefined);
          expect({ where: `${name} ${title}`, errors: validate.errors }).toMatchObject({ errors: null });
          examples += 1;
        }
      }
      for (const [status, response] of Object.entries(responses)) {
        if (response === undefined || '$ref' in response) continue;
        for (const media of Object.values(response.content ?? {})) {
          const validate = compiled(media.schema);
          for (const [title, example] of Object.entries(media.examples ?? {})) {
            const where = `${name} ${status} ${title}`;
            validate('value' in example ? example.value : undefined);
            expect({ where, errors: validate.errors }).toEqual({ where, errors: null });
            expect({ where, request: Object(example)['x-request'] }).toEqual({ where, request: expect.any(Object) });
            examples += 1;
          }
        }
      }
    }
    expect(examples).toBeGreaterThan(20);
  });

  it('has patterns that take what they should with and without the flag u', () => {
    const patterns = new Set(JSON.stringify(document).match(/(?<="pattern":)"(?:[^"\\\\]|\\\\.)*"/g));
    expect(patterns.size).toBeGreaterThan(3);
    for (const text of patterns) {
      const pattern = JSON.parse(text) as string;
      for (const sample of ['c-42', 'A-1', '😀', 'é', 'order-counts', 'analytics-17', 'a\nb', 'p{Cc}'])
        expect([pattern, sample, new RegExp(pattern).test(sample)]).toEqual([
          pattern,
          sample,
          new RegExp(pattern, 'u').test(sample),
        ]);
    }
  });

  it('lets answers get more fields, and bodies none', () => {
    const { schemas } = document.components ?? {};
    expect(schemas?.['PaidOrder']).not.toHaveProperty('additionalProperties');
    expect(schemas?.['PlaceOrder']).toHaveProperty('additionalProperties', false);
  });

  it('tells the alternatives of an order and of an event apart by one property', () => {
    const { Order: order, RecordedEvent: event } = document.components?.schemas ?? {};
    expect(order).toHaveProperty('discriminator.mapping.paid', '#/components/schemas/PaidOrder');
    expect(event).toHaveProperty('discriminator.propertyName', 'type');
    expect(Object.keys(Object(event).discriminator.mapping)).toEqual(ORDER_EVENT_TYPES);
  });

  it('refers to nothing that is not there', () => {
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
