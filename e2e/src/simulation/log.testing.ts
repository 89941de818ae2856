import { Later, type Process, type Task, type World } from './world.testing.ts';

// Kafka as its clients meet it: partitions of batches, idempotent producers as brokers and kafkajs 2.2.4 keep them, a
// consumer group, and what goes wrong between all of these.

/** How often one part of a send meets which fate; what is left arrives and is answered. */
export interface SendFaults {
  /** It never arrives. */
  lost: number;
  /** It arrives when its sender has long given up, or was deposed. */
  late: number;
  /** It is stored, and nobody is told. */
  unanswered: number;
  /** The partition's leader has moved: nothing is stored, and the answer leaves the partition out (kafkajs#1303). */
  moved: number;
}

/** A record that is sent. */
export interface Sent {
  partition: number;
  key: string | null;
  value: string;
  headers: Record<string, string>;
}

/** A record as it is read. */
export interface Stored {
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly timestamp: Date;
}

/** What one fetch brings, and the end of the partition then. */
export interface Fetched {
  records: readonly Stored[];
  end: bigint;
}

/** What a producer is told of one partition, in the words of kafkajs. */
export interface Answer {
  partition: number;
  errorCode: number;
  baseOffset: string;
}

/** How many of a producer's batches a broker knows again. */
const BATCHES_REMEMBERED = 5;
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45;
const REQUEST_TIMEOUT_MS = 60;
const SESSION_TIMEOUT_MS = 150;

/** What one send stored in one partition: the unit in which a tail is lost. */
interface StoredBatch {
  base: number;
  count: number;
  producer: number;
  sequence: number;
}

export class Partition {
  readonly records: Stored[] = [];
  #batches: StoredBatch[] = [];

  /** Stores a batch unless the producer's sequence says that it was stored before, or that one before it is missing. */
  append(records: readonly Sent[], producer: number, sequence: number): { errorCode: number; base: number } {
    const known = this.#batches.filter((batch) => batch.producer === producer).slice(-BATCHES_REMEMBERED);
    const repeated = known.find((batch) => batch.sequence === sequence && batch.count === records.length);
    if (repeated !== undefined) return { errorCode: 0, base: repeated.base };
    const last = known.at(-1);
    // Of a producer that it does not know, or whose records are gone, a broker takes any sequence.
    if (last !== undefined && sequence !== last.sequence + last.count)
      return { errorCode: OUT_OF_ORDER_SEQUENCE_NUMBER, base: -1 };
    const base = this.records.length;
    this.#batches.push({ base, count: records.length, producer, sequence });
    for (const { key, value, headers } of records)
      this.records.push({
        offset: BigInt(this.records.length),
        key,
        value: Buffer.from(value),
        headers,
        timestamp: new Date(0),
      });
    return { errorCode: 0, base };
  }

  /** @returns how many records went. */
  loseTail(batches: number): number {
    const before = this.records.length;
    this.#batches = this.#batches.slice(0, Math.max(0, this.#batches.length - batches));
    const last = this.#batches.at(-1);
    this.records.length = last === undefined ? 0 : last.base + last.count;
    return before - this.records.length;
  }
}

/** The topics of the system, `order.events` and `order.checkpoints`, on brokers that fail as they are told to. */
export class Log {
  readonly events: readonly Partition[];
  readonly checkpoints: readonly Partition[] = [new Partition()];
  /** Whether records that were confirmed have been lost. */
  damaged = false;
  /** How often the topics were lost as a whole, and made again. */
  losses = 0;
  #producers = 0;
  /** Connections end with the broker that they lead to, and with what is on its way over them. */
  #life = 0;

  constructor(
    readonly world: World,
    partitions: number,
    readonly faults: SendFaults,
  ) {
    this.events = Array.from({ length: partitions }, () => new Partition());
  }

  partition(number: number): Partition {
    return this.events[number] as Partition;
  }

  newProducerId(): number {
    this.#producers += 1;
    return this.#producers;
  }

  /** Carries what one send has for one partition to its leader, and the answer back: undefined when it leaves it out. */
  deliver(
    partition: Partition,
    records: readonly Sent[],
    producer: number,
    sequence: number,
  ): Later<{ errorCode: number; base: number } | undefined> {
    const { world, faults } = this;
    const answer = new Later<{ errorCode: number; base: number } | undefined>(world);
    const life = this.#life;
    const arrives = (ms: number, arrival: () => void) => world.after(ms, () => life === this.#life && arrival());
    const replies = (value: { errorCode: number; base: number } | undefined) =>
      arrives(world.latency(), () => answer.settle({ value }));
    const store = () => partition.append(records, producer, sequence);
    const { lost, late, unanswered, moved } = faults;
    const fate = world.random();
    if (fate < lost) return answer;
    if (fate < lost + late) arrives(REQUEST_TIMEOUT_MS + world.random() * 800, store);
    else if (fate < lost + late + unanswered) arrives(world.latency(), store);
    else if (fate < lost + late + unanswered + moved) arrives(world.latency(), () => replies(undefined));
    else arrives(world.latency(), () => replies(store()));
    return answer;
  }

  /** The end of each partition. */
  *ends(partitions: readonly Partition[]): Task<number[]> {
    yield* this.world.sleep(this.world.latency());
    const ends = partitions.map(({ records }) => records.length);
    yield* this.world.sleep(this.world.latency());
    return ends;
  }

  /** @throws Error when the offset lies outside of the partition; its end is inside. */
  *fetch(partition: Partition, from: bigint, recordsMax: number): Task<Fetched> {
    yield* this.world.sleep(this.world.latency());
    if (from > BigInt(partition.records.length)) throw new Error(`offset ${from} is out of range`);
    const records = partition.records.slice(Number(from), Number(from) + recordsMax);
    const end = BigInt(partition.records.length);
    yield* this.world.sleep(this.world.latency());
    return { records, end };
  }

  /** A broker comes back without the last of what it had confirmed: a power cut, an unclean election. */
  loseTail(): void {
    const partition = this.world.pick(this.events) as Partition;
    const lost = partition.loseTail(this.world.between(1, 3));
    this.#restart(() => `partition ${this.events.indexOf(partition)} loses its last ${lost} records`);
  }

  /** The topic comes back empty, and that of the checkpoints with it or not: a disk that was lost. */
  loseAll(): void {
    const both = this.world.chance(0.5);
    for (const partition of both ? [...this.events, ...this.checkpoints] : this.events) partition.loseTail(Infinity);
    this.losses += 1;
    this.#restart(() => `the log is lost${both ? ', and the checkpoints with it' : ''}`);
  }

  /** Somebody writes what does not belong there. */
  writeForeign(): void {
    const partition = this.world.pick(this.events) as Partition;
    this.world.note(() => `a stranger writes to partition ${this.events.indexOf(partition)}`);
    partition.append([{ partition: 0, key: 'stranger', value: 'hello', headers: {} }], this.newProducerId(), 0);
  }

  #restart(what: () => string): void {
    this.world.note(what);
    this.damaged = true;
    this.#life += 1;
  }
}

/** An idempotent producer as kafkajs 2.2.4 has it: one retry, and sequences that go back when a request has failed. */
export class Producer {
  readonly #log: Log;
  readonly #id: number;
  readonly #sequences = new Map<Partition, number>();

  constructor(log: Log) {
    this.#log = log;
    this.#id = log.newProducerId();
  }

  /** @throws Error when a partition has not answered, or with an error; the others may have stored their records. */
  *send(partitions: readonly Partition[], records: readonly Sent[]): Task<Answer[]> {
    const answers: Answer[] = [];
    let left = [...Map.groupBy(records, ({ partition }) => partition)];
    for (let tries = 0; tries < 2 && left.length > 0; tries += 1) {
      const sent = left.map(([number, part]) => {
        const partition = partitions[number] as Partition;
        const sequence = this.#sequences.get(partition) ?? 0;
        this.#sequences.set(partition, sequence + part.length);
        return { number, part, partition, answer: this.#log.deliver(partition, part, this.#id, sequence) };
      });
      left = [];
      const late = this.#log.world.now + REQUEST_TIMEOUT_MS;
      for (const { number, part, partition, answer } of sent) {
        try {
          const told = yield* answer.wait(Math.max(0, late - this.#log.world.now));
          if (told === undefined) continue;
          if (told.errorCode !== 0) throw new Error(`partition ${number} answers with error ${told.errorCode}`);
          answers.push({ partition: number, errorCode: 0, baseOffset: told.base.toString() });
        } catch (error) {
          this.#sequences.set(partition, (this.#sequences.get(partition) ?? 0) - part.length);
          left.push([number, part]);
          if (tries === 1) throw error;
        }
      }
    }
    return answers;
  }
}

/** A consumer group: who holds which partition, as far as the group knows. Members learn it later, each in its own time. */
export class Group {
  readonly #members = new Map<Process, (partitions: number[]) => void>();
  #generation = 0;

  constructor(
    private readonly world: World,
    private readonly partitions: number,
  ) {}

  has(process: Process): boolean {
    return this.#members.has(process);
  }

  /** @param onAssigned told, within the process, which partitions it holds from now on. */
  join(process: Process, onAssigned: (partitions: number[]) => void): void {
    const leave = () => {
      forget();
      if (this.#members.delete(process)) this.rebalance();
    };
    const forget = process.connect(
      () => this.world.after(SESSION_TIMEOUT_MS, leave),
      () => this.world.after(SESSION_TIMEOUT_MS, () => process.stopped && leave()),
    );
    this.#members.set(process, onAssigned);
    this.rebalance();
  }

  rebalance(): void {
    const members = [...this.#members];
    if (members.length === 0) return;
    this.#generation += 1;
    const generation = this.#generation;
    const first = this.world.between(0, members.length - 1);
    this.world.note(() => `${members[first]?.[0].name} is first in the group of ${members.length}`);
    members.forEach(([process, onAssigned], index) => {
      const held = Array.from({ length: this.partitions }, (_, partition) => partition).filter(
        (partition) => (partition + first) % members.length === index,
      );
      const tell = () => generation === this.#generation && process.run(() => onAssigned(held));
      this.world.after(this.world.random() * 60, tell);
    });
  }
}
