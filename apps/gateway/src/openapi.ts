import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import '@tandem/contracts/order-events';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';

/** The OpenAPI document, made of the schemas that requests are held to and that replies are typed by. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Tandem')
    .setDescription(
      'An order platform on two message brokers. Errors are RFC 9457 problem documents with a stable `code`; their `type` ' +
        'is a path of this server that explains it. Bodies are strict: an unknown field is an error. Each example of an ' +
        'answer has the request that leads to it, in `x-request`.',
    )
    .setVersion('1')
    .setLicense('MIT', 'https://spdx.org/licenses/MIT.html')
    .addServer('/')
    .addTag('orders', 'Placing, reading, and all that may become of them')
    .addTag('analytics', 'What has been counted')
    .addTag('admin', 'What operators do: what was set aside, and whether new orders are taken')
    .build();
  const document = SwaggerModule.createDocument(app, config);
  // The probes are for operators and are no part of the API.
  document.paths = Object.fromEntries(Object.entries(document.paths).filter(([path]) => path.startsWith('/v1/')));
  return withEvents(asProblemDocuments(document));
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

/** The `data` of a recorded event is what its type says: adds the schemas of all events, which no route names. */
function withEvents(document: OpenAPIObject): OpenAPIObject {
  const uri = (id: string) => `#/components/schemas/${id}`;
  const registered = z.toJSONSchema(z.globalRegistry, { target: 'openapi-3.0', unrepresentable: 'any', uri }).schemas;
  const schemas = Object.entries(registered).map(([id, { $id: _, ...schema }]) => [id, schema] as const);
  document.components = {
    ...document.components,
    schemas: { ...(Object.fromEntries(schemas) as Record<string, object>), ...document.components?.schemas },
  };
  return document;
}
