import type { Kafka, Message, Producer } from 'kafkajs';

/** What was sent is not known to be in the log: send the whole batch again, with a new producer. */
export class UnconfirmedError extends Error {
  override name = 'UnconfirmedError';
}

/**
 * A producer that believes nothing but an answer which names every partition sent to, without error: kafkajs 2.2.4
 * resolves `send` without the records of a partition whose leader moved (kafkajs#1303), and an idempotent producer that is
 * used again after a failed send answers ok for records that are not in the log. So it ends with its first failure.
 */
export class ConfirmedProducer {
  readonly #producer: Producer;
  #failed = false;

  private constructor(producer: Producer) {
    this.#producer = producer;
  }

  static async open(kafka: Kafka): Promise<ConfirmedProducer> {
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      // kafkajs insists on a retry for idempotent producers; more are not wanted, the caller starts over instead.
      retry: { retries: 1, initialRetryTime: 30 },
    });
    try {
      await producer.connect();
    } catch (error) {
      // It may be connected and have failed at what comes next: its sockets must not pile up in an outage.
      await producer.disconnect().catch(() => undefined);
      throw error;
    }
    return new ConfirmedProducer(producer);
  }

  /**
   * Sends records that name their partitions, and returns each partition's end offset after them.
   *
   * @throws UnconfirmedError when a partition is missing from the answer, is answered with an error, or none came.
   */
  async send(topic: string, messages: (Message & { partition: number })[]): Promise<Map<number, bigint>> {
    if (this.#failed) throw new UnconfirmedError('This producer has failed before.');
    try {
      const answers = await this.#producer.send({ topic, messages, acks: -1, timeout: 5_000 });
      return confirmedEnds(messages, answers);
    } catch (error) {
      this.#failed = true;
      throw new UnconfirmedError(`Kafka did not confirm a batch of ${topic}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  close(): Promise<void> {
    return this.#producer.disconnect();
  }
}

/**
 * Each partition's end offset after the records that were sent to it.
 *
 * @throws Error when a partition is missing from the answers, or answers with an error.
 */
export function confirmedEnds(
  sent: readonly { partition: number }[],
  answers: readonly { partition: number; errorCode: number; baseOffset?: string }[],
): Map<number, bigint> {
  const counts = new Map<number, number>();
  for (const { partition } of sent) counts.set(partition, (counts.get(partition) ?? 0) + 1);
  const ends = new Map<number, bigint>();
  for (const { partition, errorCode, baseOffset } of answers) {
    if (errorCode !== 0 || baseOffset === undefined || BigInt(baseOffset) < 0n) continue;
    ends.set(partition, BigInt(baseOffset) + BigInt(counts.get(partition) ?? 0));
  }
  const missing = [...counts.keys()].filter((partition) => !ends.has(partition));
  if (missing.length > 0) throw new Error(`no confirmation for partition ${missing.join(', ')}`);
  return ends;
}
