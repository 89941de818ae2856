import { KafkaContext } from '@nestjs/microservices';
import type { Consumer, IHeaders, KafkaMessage } from 'kafkajs';
import { HeaderTexts } from './header-texts.ts';

/** One record as it lies in the log. */
export interface KafkaRecord {
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: Buffer | null;
  /** As text. Of a name that occurs more than once the last counts, as Kafka's own `lastHeader` has it. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timestamp: Date;
}

/** What one fetch brought of one partition: everything that it holds from `firstOffset` up to, not including, `nextOffset`. */
export interface KafkaBatch {
  readonly topic: string;
  readonly partition: number;
  /** Where the handler left off. The first record may come later: transaction markers take offsets too. */
  readonly firstOffset: bigint;
  /** Where to go on once this batch is done. */
  readonly nextOffset: bigint;
  readonly records: readonly KafkaRecord[];
  /** The end of the partition when the batch was fetched. */
  readonly highWatermark: bigint;
  /** Whether the partition has been taken away meanwhile: what the handler does now another member may be doing too. */
  isStale(): boolean;
  /** Tells the group that this member lives. The server does it by itself while a handler runs. Never rejects. */
  heartbeat(): Promise<void>;
}

/** The second argument of a batch handler: Nest's own context, in which there is no one message and no producer. */
export class KafkaBatchContext extends KafkaContext {
  constructor({ topic, partition, heartbeat }: KafkaBatch, consumer: Consumer) {
    super([undefined as never, partition, topic, consumer as never, heartbeat, undefined as never]);
  }
}

/** A record of kafkajs as text and numbers that can be compared. */
export function toRecord(message: KafkaMessage): KafkaRecord {
  return {
    offset: BigInt(message.offset),
    key: message.key === null ? null : message.key.toString(),
    value: message.value,
    headers: toHeaders(message.headers),
    timestamp: new Date(Number(message.timestamp)),
  };
}

function toHeaders(headers: IHeaders | undefined): Readonly<Record<string, string>> {
  if (headers instanceof HeaderTexts) return headers;
  // Without a prototype, a header that is called `__proto__` is just a name.
  const texts = Object.create(null) as Record<string, string>;
  for (const name in headers) {
    const value = headers[name];
    const last = Array.isArray(value) ? value[value.length - 1] : value;
    if (last !== undefined && last !== null) texts[name] = last.toString();
  }
  return texts;
}
