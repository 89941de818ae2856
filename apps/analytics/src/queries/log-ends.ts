import { Kafka, logLevel, type Admin } from 'kafkajs';

/** Kafka could not be asked. */
export class LogAwayError extends Error {
  override name = 'LogAwayError';
}

/** The first guess at an age, which is doubled until it is too much. */
const AGE_MS_MIN = 100;
/** An age is looked for until it is known within this, or within a hundredth of it. */
const AGE_ERROR_MS = 50;

/** What Kafka knows of the topic of events: where its partitions end, and since when a record has been in it. */
export class LogEnds {
  readonly #kafka: Kafka;
  readonly #topic: string;
  #admin: Admin | undefined;

  constructor(brokers: string[], topic: string) {
    this.#kafka = new Kafka({
      brokers,
      clientId: 'analytics.lag',
      logLevel: logLevel.NOTHING,
      connectionTimeout: 1_000,
      requestTimeout: 2_000,
      retry: { retries: 1, initialRetryTime: 100 },
    });
    this.#topic = topic;
  }

  /** The end offset of each partition. @throws LogAwayError */
  ends(): Promise<Map<number, bigint>> {
    return this.#ask(async (admin) => {
      const offsets = await admin.fetchTopicOffsets(this.#topic);
      return new Map(offsets.map(({ partition, high }) => [partition, BigInt(high)]));
    });
  }

  /**
   * For how long the records at these offsets, one of each partition, have been in the log, in milliseconds, rounded up a
   * little. kafkajs cannot read one record outside of a group, but Kafka says which is the first at or after a time: ages
   * are doubled until that is no later record, then halved towards it.
   *
   * @throws LogAwayError
   */
  ages(offsets: ReadonlyMap<number, bigint>): Promise<Map<number, number>> {
    const nowMs = Date.now();
    return this.#ask(async (admin) => {
      const asked = new Map<number, Promise<Map<number, bigint>>>();
      const firstAt = (ageMs: number) => {
        const answer = asked.get(ageMs) ?? this.#firstAt(admin, nowMs - ageMs);
        asked.set(ageMs, answer);
        return answer;
      };
      const ages = [...offsets].map(async ([partition, offset]): Promise<[number, number]> => {
        const isOlder = async (ageMs: number) => ((await firstAt(ageMs)).get(partition) ?? 0n) > offset;
        let oldMs = AGE_MS_MIN;
        while (oldMs < nowMs && (await isOlder(oldMs))) oldMs *= 2;
        oldMs = Math.min(oldMs, nowMs);
        let youngMs = oldMs === AGE_MS_MIN ? 0 : Math.floor(oldMs / 2);
        while (oldMs - youngMs > Math.max(AGE_ERROR_MS, oldMs / 100)) {
          const middleMs = Math.floor((oldMs + youngMs) / 2);
          if (await isOlder(middleMs)) youngMs = middleMs;
          else oldMs = middleMs;
        }
        return [partition, oldMs];
      });
      return new Map(await Promise.all(ages));
    });
  }

  /** The offset of the first record of each partition at or after a time, or its end. */
  async #firstAt(admin: Admin, timeMs: number): Promise<Map<number, bigint>> {
    const offsets = await admin.fetchTopicOffsetsByTimestamp(this.#topic, timeMs);
    return new Map(offsets.map(({ partition, offset }) => [partition, BigInt(offset)]));
  }

  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    try {
      this.#admin ??= this.#kafka.admin();
      await this.#admin.connect();
      return await question(this.#admin);
    } catch (error) {
      await this.close();
      throw new LogAwayError(`Kafka could not be asked: ${(error as Error).message}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    const admin = this.#admin;
    this.#admin = undefined;
    await admin?.disconnect().catch(() => undefined);
  }
}
