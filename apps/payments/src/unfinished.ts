import { setTimeout as pause } from 'node:timers/promises';
import { jobOf } from '@tandem/contracts/payment-jobs';
import type { JobPublisher } from '@tandem/transports/rabbitmq/job-publisher';
import type { PaymentRecords } from './payment-records.ts';

export interface UnfinishedOptions {
  records: PaymentRecords;
  publisher: JobPublisher;
  /** How long a payment may be under way before its job is taken for lost. */
  olderThanMs: number;
  /** Whether jobs wait because nobody may take them: then they are not lost. */
  paused: () => boolean;
  onFailure: (error: Error) => void;
}

/** The most jobs on the queues at which more are published. */
const WAITING_MAX = 1_000;

/**
 * Publishes the jobs of payments again that were begun and never finished: the broker may have lost its disk between the
 * provider's yes and the command to orders. So are jobs that somebody redrives, and those that are marked as parked without a row. What orders asked for and nobody began is for orders to ask again.
 */
export class Unfinished {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly options: UnfinishedOptions) {}

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { records, olderThanMs, onFailure } = this.options;
    const { signal } = this.#stop;
    let isAdopted = false;
    while (!signal.aborted) {
      await pause(olderThanMs / 4, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        if (!isAdopted) await records.adoptMarks();
        isAdopted = true;
        await this.#sweep();
      } catch (error) {
        onFailure(error as Error);
      }
    }
  }

  async #sweep(): Promise<void> {
    const { records, publisher, olderThanMs, paused } = this.options;
    if (paused() || publisher.notReadyReason !== undefined) return;
    const room = WAITING_MAX - (await publisher.waiting());
    if (room <= 0) return;
    const jobs = await records.takeUnfinished(olderThanMs, room);
    if (jobs.length > 0) await publisher.publish(jobs.map((job) => jobOf(job)));
  }
}
