import { type PaymentJob, paymentKey } from '@tandem/contracts/payment-jobs';
import type { Pool } from 'pg';
import type { Outcome } from './provider-client.ts';

export interface PaymentRecord {
  /** What the provider said, when it is known. */
  outcome: Outcome | null;
  told: boolean;
  parked: boolean;
  /** Since somebody first set about it; 0 when that is now. */
  ageMs: number;
  /** Nobody had set about it before. */
  fresh: boolean;
}

/** What is asked of the provider and what became of it: written before it is asked, and after it has answered. */
export class PaymentRecords {
  constructor(private readonly pool: Pool) {}

  /**
   * Notes that a job is under way, and tells what is known of it.
   *
   * @param redriven somebody has decided that it is not parked any more.
   */
  async begin(job: PaymentJob, redriven: boolean): Promise<PaymentRecord> {
    const { rows } = await this.pool.query<PaymentRecord>({
      name: 'begin-payment',
      text: `insert into payments (key, kind, data) values ($1, $2, $3)
             on conflict (key) do update set parked = payments.parked and not $4
             returning outcome, parked, told_at is not null as told, xmax = 0 as fresh,
                       (extract(epoch from now() - begun_at) * 1000)::double precision as "ageMs"`,
      values: [paymentKey(job), job.kind, JSON.stringify(job.data), redriven],
    });
    return rows[0] as PaymentRecord;
  }

  /** Keeps what the provider said. What it said first counts. */
  async decide(key: string, outcome: Outcome): Promise<Outcome> {
    const { rows } = await this.pool.query<{ outcome: Outcome }>({
      name: 'decide-payment',
      text: `update payments set outcome = coalesce(outcome, $2) where key = $1 returning outcome`,
      values: [key, JSON.stringify(outcome)],
    });
    return rows[0]?.outcome ?? outcome;
  }

  /** Orders has taken note, or has nothing to take note of. */
  async told(key: string): Promise<void> {
    await this.pool.query({
      name: 'told-payment',
      text: 'update payments set told_at = coalesce(told_at, now()) where key = $1',
      values: [key],
    });
  }

  /** Somebody has to decide first. Of a job that nobody could begin there is nothing to note. */
  async parked(key: string): Promise<void> {
    await this.pool.query({
      name: 'parked-payment',
      text: 'update payments set parked = true where key = $1',
      values: [key],
    });
  }

  /**
   * Jobs that were begun long ago and of which orders has taken no note, marked so that nobody else takes them up for as
   * long again.
   */
  async takeUnfinished(olderThanMs: number, limit: number): Promise<PaymentJob[]> {
    const { rows } = await this.pool.query<PaymentJob>({
      name: 'sweep-payments',
      text: `update payments set swept_at = now()
              where key in (select key from payments
                             where told_at is null and not parked
                               and greatest(begun_at, swept_at) < now() - $1::double precision * interval '1 millisecond'
                             order by begun_at limit $2 for update skip locked)
             returning kind, data`,
      values: [olderThanMs, limit],
    });
    return rows;
  }
}
