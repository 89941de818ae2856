// @ts-check
// What all commands share: arguments are read before anything else happens, `--help` is known everywhere, and what destroys
// data asks first. This file runs before packages are installed; see packages.mjs.
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { fail } from './failure.mjs';
import { installPackages, onRepositoryNode, packagesMissing } from './packages.mjs';
import { StepFailed, Steps } from './steps.mjs';

/** How servers are found: what start and test take alike. */
export const SERVER_OPTIONS = /** @type {const} */ ({
  servers: { type: 'string' },
  postgres: { type: 'string' },
  rabbitmq: { type: 'string' },
  kafka: { type: 'string' },
});

export const SERVER_USAGE = `  --servers=WAY         how all servers are found: env, running, docker, native, or embedded (PostgreSQL only)
  --postgres=WAY  --rabbitmq=WAY  --kafka=WAY   one of them`;

/**
 * @typedef {object} Command
 * @property {string} usage what `--help` prints, and what follows the message about a wrong argument
 * @property {import('node:util').ParseArgsOptionsConfig} [options] besides `--help`
 * @property {boolean} [positionals] whether it takes arguments that are no options
 * @property {'install' | 'check' | 'ignore'} packages what to do when they are missing: install them, refuse, or go on without
 *
 * @typedef {object} Invocation
 * @property {Record<string, any>} values
 * @property {string[]} positionals
 * @property {Steps} steps
 */

/**
 * Runs a command on the arguments of this process. Sets the exit code: 1 when it fails.
 *
 * @param {Command} command
 * @param {(invocation: Invocation) => unknown} work
 */
export async function runCommand(command, work) {
  try {
    const { values, positionals } = readArguments(command, process.argv.slice(2));
    if (values['help']) return console.log(command.usage);
    const steps = new Steps();
    if (command.packages === 'install') await installPackages(steps);
    const missing = command.packages === 'check' ? packagesMissing() : undefined;
    if (missing) throw new StepFailed(`The packages are not installed (${missing}). npm start installs them.`);
    if (command.packages === 'ignore' || (await onRepositoryNode())) await work({ values, positionals, steps });
  } catch (error) {
    fail(error);
  }
}

/**
 * @param {Command} command
 * @param {string[]} args
 * @returns {{ values: Record<string, any>, positionals: string[] }}
 * @throws {StepFailed} naming the argument that is wrong, with the usage
 */
export function readArguments({ usage, options = {}, positionals = false }, args) {
  try {
    const all = { ...options, help: { type: /** @type {const} */ ('boolean'), short: 'h' } };
    return parseArgs({ args, options: all, allowPositionals: positionals });
  } catch (error) {
    throw new StepFailed(`${error instanceof Error ? error.message : error}\n\n${usage}`);
  }
}

/**
 * Asks before data are destroyed: on a terminal by a question, elsewhere by insisting on `--yes`.
 *
 * @param {string} what is lost
 * @param {boolean} yes whether `--yes` was given
 * @param {string} again the command that does it without asking
 * @param {{ input: NodeJS.ReadStream, output: NodeJS.WriteStream }} terminal
 * @throws {StepFailed} unless the answer is yes
 */
export async function confirm(what, yes, again, terminal = { input: process.stdin, output: process.stdout }) {
  if (yes) return;
  const { input, output } = terminal;
  if (!input.isTTY || !output.isTTY) throw new StepFailed(`${what}\nIf that is what you want: ${again}`);
  const question = createInterface({ input, output });
  try {
    // Ctrl-C and Ctrl-D are a no.
    const answer = await question.question(`${what}\nType yes to go on: `).catch(() => '\n');
    if (answer.trim().toLowerCase() !== 'yes') throw new StepFailed('Nothing was done.');
  } finally {
    question.close();
  }
}
