import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** The OpenAPI document, made of the schemas that requests are held to and that replies are typed by. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Tandem')
    .setDescription(
      'An order platform on two message brokers. Errors are RFC 9457 problem documents with a stable `code`; their `type` is a ' +
        'path of this server that explains the code. Request bodies are strict: an unknown field is an error. Answers may gain ' +
        'fields, and their enumerations values: ignore what you do not know. String lengths count UTF-16 units. There is no ' +
        'authentication yet: put the server behind something that authenticates. Each example of an answer comes with the ' +
        'request that leads to it, in `x-request`.',
    )
    .setVersion('1')
    .setLicense('MIT', 'https://spdx.org/licenses/MIT.html')
    .addServer('/')
    .addTag('orders', 'Place, read and change orders')
    .addTag('analytics', 'Numbers counted from the events of all orders')
    .addTag('admin', 'Parked messages, projections, and whether new orders are taken')
    .build();
  const document = SwaggerModule.createDocument(app, config);
  // The probes are for operators and are no part of the API.
  document.paths = Object.fromEntries(Object.entries(document.paths).filter(([path]) => path.startsWith('/v1/')));
  delete document.info.contact;
  document.security = [];
  return plain(asProblemDocuments(document));
}

/** Serves `/openapi.json`, and `/docs` to read and try it, to which `/` leads. */
export function serveOpenApi(app: NestFastifyApplication): OpenAPIObject {
  const document = openApiDocument(app);
  SwaggerModule.setup('docs', app, document, {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Tandem',
    // Nothing is asked of another server, not even whether the document is valid.
    swaggerOptions: { validatorUrl: null },
  });
  // The first thing that somebody types into a browser.
  app
    .getHttpAdapter()
    .getInstance()
    .get('/', (_request: FastifyRequest, reply: FastifyReply) => reply.redirect('/docs'));
  return document;
}

/** Errors are of a media type of their own (RFC 9457), which the decorators cannot say per status. */
function asProblemDocuments(document: OpenAPIObject): OpenAPIObject {
  for (const path of Object.values(document.paths))
    for (const operation of [path.get, path.post])
      for (const [status, response] of Object.entries(operation?.responses ?? {})) {
        if (response === undefined || '$ref' in response || Number(status) < 400) continue;
        const { 'application/json': json, ...others } = response.content ?? {};
        if (json !== undefined) response.content = { ...others, 'application/problem+json': json };
      }
  return document;
}

type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;
type Schema = Exclude<Schemas[string], { $ref: string }>;

/** What is written for validators, made plain for readers and for those who generate clients. */
function plain(document: OpenAPIObject): OpenAPIObject {
  const { schemas = {} } = document.components ?? {};
  for (const schema of objectsWithin(document)) {
    // The format says it, and the pattern takes three lines.
    if (schema['format'] === 'date-time' || schema['format'] === 'uuid') delete schema['pattern'];
  }
  for (const schema of Object.values(schemas) as Schema[]) {
    const discriminator = discriminatorOf(schema, schemas);
    if (discriminator !== undefined) schema.discriminator = discriminator;
  }
  openAnswers(document);
  return document;
}

/**
 * Bodies are strict, answers are not: a later version may add fields. A schema that stands in both stays strict.
 */
function openAnswers(document: OpenAPIObject): void {
  const { schemas = {} } = document.components ?? {};
  const operations = Object.values(document.paths).flatMap(({ get, post }) =>
    [get, post].filter((it) => it !== undefined),
  );
  const sent = new Set(
    operations.map(({ requestBody }) => requestBody).flatMap((body) => objectsReachable(body, schemas)),
  );
  for (const answered of objectsReachable(
    operations.map(({ responses }) => responses),
    schemas,
  ))
    if (!sent.has(answered) && answered['additionalProperties'] === false) delete answered['additionalProperties'];
}

/** The property whose value tells the alternatives of a union apart, if each is a schema with a name. */
function discriminatorOf({ oneOf }: Schema, schemas: Schemas): Schema['discriminator'] | undefined {
  const refs = oneOf?.map((option) => ('$ref' in option ? option.$ref : undefined)) ?? [];
  const options = refs.map((ref) => (ref === undefined ? undefined : (schemas[nameOf(ref)] as Schema).properties));
  const [first] = options;
  for (const propertyName of Object.keys(first ?? {})) {
    const values = options.map((properties) => {
      const property = properties?.[propertyName];
      return property !== undefined && 'enum' in property && property.enum?.length === 1
        ? String(property.enum[0])
        : undefined;
    });
    if (values.every((value) => value !== undefined) && new Set(values).size === values.length)
      return { propertyName, mapping: Object.fromEntries(values.map((value, at) => [value, refs[at] as string])) };
  }
  return undefined;
}

const nameOf = (ref: string) => ref.slice(ref.lastIndexOf('/') + 1);

type Json = Record<string, unknown>;

function* objectsWithin(value: unknown): Generator<Json> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Json;
  for (const inner of Object.values(value)) yield* objectsWithin(inner);
}

/** What is written there, and what its references lead to. */
function objectsReachable(from: unknown, schemas: object): Json[] {
  const found = new Set<Json>();
  const follow = (value: unknown) => {
    for (const inner of objectsWithin(value)) {
      if (found.has(inner)) continue;
      found.add(inner);
      const { $ref } = inner;
      if (typeof $ref === 'string') follow((schemas as Json)[nameOf($ref)]);
    }
  };
  follow(from);
  return [...found];
}
