import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';

/** What was asked for, once for each key. */
export interface Request {
  kind: 'charge' | 'refund';
  amount: number;
  currency: string;
  /** How a charge is paid. */
  method?: string | undefined;
  /** The charge that a refund gives back. */
  charge?: string | undefined;
}

export interface Entry {
  id: string;
  /** The key under which it was asked for. */
  reference: string;
  request: Request;
  status: 'approved' | 'declined';
  reason?: string;
  at: string;
}

/** Above it the provider refuses: it is for development and tests. */
const ENTRIES_MAX = 1_000_000;

/** Everything that was ever decided, by key: the same key gets the same entry. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /**
   * @param file keeps the entries, one a line; empty for none. A last line without its end was torn by a crash, and nobody was
   *   answered: it is cut off.
   */
  static open(file: string): Ledger {
    const ledger = new Ledger(file);
    if (file === '' || !existsSync(file)) return ledger;
    const content = readFileSync(file);
    const end = content.lastIndexOf('\n') + 1;
    if (end < content.length) truncateSync(file, end);
    for (const line of content.toString('utf8', 0, end).split('\n')) {
      if (line === '') continue;
      const entry = JSON.parse(line) as Entry;
      ledger.#entries.set(entry.reference, entry);
    }
    return ledger;
  }

  get entries(): Entry[] {
    return [...this.#entries.values()];
  }

  find(reference: string): Entry | undefined {
    return this.#entries.get(reference);
  }

  /** The entry of a key, made when there is none; undefined when the key was used for something else. */
  decide(reference: string, request: Request, verdict: Pick<Entry, 'status' | 'reason'>): Entry | undefined {
    const known = this.#entries.get(reference);
    if (known !== undefined) return isDeepStrictEqual(known.request, request) ? known : undefined;
    if (this.#entries.size >= ENTRIES_MAX) throw new Error('The ledger is full');
    const id = `${request.kind === 'charge' ? 'ch' : 're'}-${this.#entries.size + 1}-${Date.now().toString(36)}`;
    const entry: Entry = { id, reference, request, ...verdict, at: new Date().toISOString() };
    // Kept before it is answered: who was answered yes asks again after a restart.
    if (this.#file !== '') appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
    this.#entries.set(reference, entry);
    return entry;
  }

  /** What is left of a charge to give back. */
  refundable(charge: string): number {
    let left = 0;
    for (const { id, request, status } of this.#entries.values()) {
      if (status !== 'approved') continue;
      if (id === charge) left += request.amount;
      if (request.charge === charge) left -= request.amount;
    }
    return left;
  }
}
