// @ts-check
// Makes two clients of an OpenAPI document: `generate-clients.mjs <openapi.json> <folder>` writes <folder>/fetch.ts
// (openapi-typescript, for openapi-fetch) and <folder>/sdk (@hey-api/openapi-ts, whose answers are checked by zod).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@hey-api/openapi-ts';
import openapiTypes, { astToString } from 'openapi-typescript';

const [document = '', folder = ''] = process.argv.slice(2);
// What has a default may be left out of a request.
const types = await openapiTypes(readFileSync(document, 'utf8'), { defaultNonNullable: false });
writeFileSync(join(folder, 'fetch.ts'), astToString(types));
await createClient({
  input: document,
  output: { path: join(folder, 'sdk'), module: { extension: '.js' } },
  plugins: ['@hey-api/typescript', '@hey-api/client-fetch', 'zod', { name: '@hey-api/sdk', validator: true }],
  logs: { level: 'silent', file: false },
});
