import type { KafkaBatch, KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import type { TestRecord } from '../order-log.testing.ts';

/** A partition in memory: records get their offsets as they are appended. */
export class Partition {
  readonly records: KafkaRecord[] = [];

  constructor(
    readonly topic: string,
    readonly partition: number,
  ) {}

  get end(): bigint {
    return BigInt(this.records.length);
  }

  append(records: readonly (Pick<TestRecord, 'key' | 'value'> & { headers: Record<string, string> })[]): this {
    for (const { key, value, headers } of records) {
      this.records.push({
        offset: this.end,
        key: key?.toString() ?? null,
        value: value === null ? null : Buffer.from(value),
        headers,
        timestamp: new Date('2026-01-01T00:00:00.000Z'),
      });
    }
    return this;
  }

  /** What a fetch from an offset brings. */
  batch(from: bigint, to: bigint = this.end, isStale = () => false): KafkaBatch {
    return {
      topic: this.topic,
      partition: this.partition,
      firstOffset: from,
      nextOffset: to,
      records: this.records.slice(Number(from), Number(to)),
      highWatermark: this.end,
      isStale,
      heartbeat: () => Promise.resolve(),
    };
  }
}
