// @ts-check
// One line per step, with its time. On a terminal the last line shows what is under way and is rewritten in place.

/** A failure that has been explained on its step's line; `detail` is what to show below it. */
export class StepFailed extends Error {
  /** @param {string} message @param {string} [detail] */
  constructor(message, detail) {
    // A test that fails with it shows the cause.
    super(message, detail ? { cause: new Error(detail) } : undefined);
    this.detail = detail;
    /** Whether a step's line has said it. */
    this.told = false;
  }
}

/** A server that did not start, perhaps only because the machine was short of something at that moment. */
export class StartFailed extends StepFailed {}

/** @typedef {{ name: string, note: string, startedMs: number, says: (note: string) => void }} Step */

export class Steps {
  /** @type {Set<Step>} */
  #underWay = new Set();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {NodeJS.WriteStream} */
  #out;
  #live;
  #colour;

  /** @param {NodeJS.WriteStream} out */
  constructor(out = process.stdout) {
    this.#out = out;
    this.#live = out.isTTY === true && process.env['TERM'] !== 'dumb';
    // https://no-color.org: set and not empty means no colour.
    this.#colour = this.#live && !process.env['NO_COLOR'];
  }

  /**
   * Runs one step and prints its line. Steps may run side by side.
   *
   * @template T
   * @param {string} name
   * @param {(step: Step) => Promise<T>} work says what it is doing with `step.says`; the last note stays on the line
   * @returns {Promise<T>}
   * @throws what `work` throws, after the line that says so
   */
  async run(name, work) {
    /** @type {Step} */
    const step = { name, note: '', startedMs: Date.now(), says: (note) => void (step.note = note) };
    this.#underWay.add(step);
    this.#tick();
    try {
      const result = await work(step);
      this.#finish(step, '✔', 32, step.note);
      return result;
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      this.#finish(step, '✘', 31, failure.message);
      if (failure instanceof StepFailed) {
        if (failure.detail) this.print(indent(failure.detail));
        failure.told = true;
      }
      throw error;
    }
  }

  /** Prints lines above the one that is rewritten. @param {string} text */
  print(text) {
    this.#clear();
    this.#out.write(text + '\n');
    this.#draw();
  }

  /** A line outside any step: `!` for what the reader should know. @param {string} mark @param {string} text */
  note(mark, text) {
    this.print(`${this.#paint(mark, mark === '✔' ? 32 : mark === '✘' ? 31 : 33)} ${text}`);
  }

  /** @param {string} text @param {number} code an SGR code */
  #paint(text, code) {
    return this.#colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  }

  /** @param {Step} step @param {string} mark @param {number} colour @param {string} note */
  #finish(step, mark, colour, note) {
    this.#underWay.delete(step);
    const [first = '', ...rest] = note.split('\n');
    const time = `${seconds(step)} s`;
    const line = `${step.name.padEnd(10)} ${first.padEnd(60)} ${this.#paint(time.padStart(7), 2)}`;
    this.print([`${this.#paint(mark, colour)} ${line}`, ...rest.map((one) => `  ${one}`)].join('\n'));
    if (this.#underWay.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #tick() {
    if (!this.#live || this.#timer) return;
    this.#timer = setInterval(() => {
      this.#clear();
      this.#draw();
    }, 200);
    this.#timer.unref();
  }

  #clear() {
    if (this.#live) this.#out.write('\r\x1b[2K');
  }

  #draw() {
    if (!this.#live || this.#underWay.size === 0) return;
    const parts = [...this.#underWay].map((step) => {
      const [note = ''] = step.note.split('\n');
      return `${step.name}${note && ` ${note}`} ${seconds(step)} s`;
    });
    this.#out.write(this.#paint(`… ${parts.join(' · ')}`.slice(0, (this.#out.columns || 80) - 1), 2));
  }
}

/** @param {string} text */
export function indent(text) {
  return text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}

/** @param {Step} step */
function seconds(step) {
  return ((Date.now() - step.startedMs) / 1000).toFixed(1);
}
