// @ts-check
// `npm run schemas`: writes the JSON Schemas of what lies in the log to libs/contracts/schemas. A change that would break a
// reader is refused: it needs a new type of event, see CONTRIBUTING.md.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './command.mjs';
import { root } from './folder.mjs';
import { StepFailed } from './steps.mjs';

const folder = join(root, 'libs', 'contracts', 'schemas');

const usage = `npm run schemas   writes the JSON Schemas of the log; refuses a change that would break its readers`;

await runCommand({ usage, packages: 'check' }, async () => {
  await import(new URL('ts-hooks.mjs', import.meta.url).href);
  const contracts = (/** @type {string} */ file) =>
    import(new URL(`../libs/contracts/src/${file}`, import.meta.url).href);
  const { publishedSchemas } = await contracts('published-schemas.ts');
  const { breaks } = await contracts('compatibility.ts');
  write(publishedSchemas(), breaks);
});

/**
 * @param {Map<string, object>} schemas
 * @param {(published: object, today: object) => string[]} breaks
 */
function write(schemas, breaks) {
  const broken = [...schemas].flatMap(([name, schema]) => {
    const path = join(folder, `${name}.json`);
    if (!existsSync(path)) return [];
    return breaks(JSON.parse(readFileSync(path, 'utf8')), schema).map((what) => `${name}: ${what}`);
  });
  if (broken.length > 0)
    throw new StepFailed(
      `This would break readers of the log:\n${broken.join('\n')}\nMake it a new type with an upcaster (libs/contracts/src/event-versions.ts).`,
    );
  mkdirSync(folder, { recursive: true });
  for (const [name, schema] of schemas) {
    const path = join(folder, `${name}.json`);
    const text = `${JSON.stringify(schema, null, 2)}\n`;
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    writeFileSync(path, text);
    console.log(`✔ ${name}.json`);
  }
}
