// @ts-check
// Lints texts as if they stood at the paths named: [{ filePath, text }] as JSON on stdin, [[ruleId, …], …] on stdout.
import { text } from 'node:stream/consumers';
import { ESLint } from 'eslint';

/** @type {{ filePath: string, text: string }[]} */
const texts = JSON.parse(await text(process.stdin));
const eslint = new ESLint();
const rules = [];
for (const { filePath, text } of texts) {
  const [result] = await eslint.lintText(text, { filePath });
  rules.push((result?.messages ?? []).map(({ ruleId, message }) => ruleId ?? message));
}
process.stdout.write(JSON.stringify(rules));
