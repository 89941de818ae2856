import { LogUnreadableError } from '@tandem/transports/kafka/read-log';
import { Kafka, logLevel } from 'kafkajs';

/** Asks Kafka where the log begins. */
export class LogBounds {
  readonly #kafka: Kafka;
  readonly #topic: string;

  constructor(brokers: string[], topic: string) {
    this.#topic = topic;
    this.#kafka = new Kafka({
      brokers,
      clientId: 'analytics.rebuild',
      connectionTimeout: 1_000,
      requestTimeout: 3_000,
      retry: { retries: 1, initialRetryTime: 100 },
      logLevel: logLevel.NOTHING,
    });
  }

  /** Describes the gap at the beginning of the log; undefined when there is none. @throws LogUnreadableError */
  async truncated(): Promise<string | undefined> {
    const admin = this.#kafka.admin();
    try {
      await admin.connect();
      const offsets = await admin.fetchTopicOffsets(this.#topic);
      const cut = offsets.filter(({ low }) => low !== '0').sort((a, b) => a.partition - b.partition);
      if (cut.length === 0) return undefined;
      const where = cut.map(({ partition, low }) => `partition ${partition} begins at offset ${low}`).join(', ');
      return (
        `The beginning of the log was deleted: ${where}. What was deleted cannot be counted again from it; ` +
        '`npm run recover -- --yes` publishes every event again, as a new log.'
      );
    } catch (error) {
      throw new LogUnreadableError(`Kafka cannot be asked: ${(error as Error).message}`, { cause: error });
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}
