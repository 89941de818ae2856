import { type PaymentJob, paymentKey } from '@tandem/contracts/payment-jobs';
import type { Pool, PoolClient } from 'pg';
import type { Outcome } from './provider-client.ts';

export interface PaymentRecord {
  /** What the provider said, when it is known. */
  outcome: Outcome | null;
  told: boolean;
  /** Somebody has to decide first: its job is parked, or was dropped. */
  parked: boolean;
  /** Since the provider may have been asked first; 0 when that is now. */
  ageMs: number;
  /** Since the provider may have been asked last, before this time. */
  askedMs: number;
  /** How long the provider wants to be left alone with it. */
  waitMs: number;
  /** The provider was certainly not asked before. */
  fresh: boolean;
}

/** Whether a row of `parked` keeps its job from running. */
const HOLDS = `p.settled_as is distinct from 'redriven'`;
/** A mark counts only with its row, of former versions, too. */
const COLUMNS = `
  outcome, told_at is not null as told,
  case when parked_id is not null then exists (select 1 from parked as p where p.id = parked_id and ${HOLDS})
       when parked then exists (select 1 from parked as p
                                 where p.order_id = split_part(key, ':', 1) and p.type = kind and ${HOLDS})
       else false end as parked,
  (extract(epoch from now() - begun_at) * 1000)::double precision as "ageMs",
  (extract(epoch from now() - coalesce(asked_at, begun_at)) * 1000)::double precision as "askedMs",
  greatest(0, coalesce(extract(epoch from wait_until - now()) * 1000, 0))::double precision as "waitMs"`;

/** What is asked of the provider and what became of it: written before it is asked, and after it has answered. */
export class PaymentRecords {
  constructor(private readonly pool: Pool) {}

  /** Notes that the provider is about to be asked, and tells what is known. */
  async begin(job: PaymentJob): Promise<PaymentRecord> {
    const { rows } = await this.pool.query<PaymentRecord>({
      name: 'begin-payment',
      text: `insert into payments (key, kind, data, asked_at) values ($1, $2, $3, now())
             on conflict (key) do update set asked_at = now()
             returning xmax = 0 as fresh, ${COLUMNS}`,
      values: [paymentKey(job), job.kind, JSON.stringify(job.data)],
    });
    return rows[0] as PaymentRecord;
  }

  /** What is known of a job of which the provider is not about to be asked. */
  async read(key: string): Promise<PaymentRecord | undefined> {
    const { rows } = await this.pool.query<PaymentRecord>({
      name: 'read-payment',
      text: `select false as fresh, ${COLUMNS} from payments where key = $1`,
      values: [key],
    });
    return rows[0];
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

  /** The provider wants to be left alone with it for so long, whoever takes up its job. */
  async wait(key: string, waitMs: number): Promise<void> {
    await this.pool.query({
      name: 'wait-payment',
      text: `update payments set wait_until = now() + $2::double precision * interval '1 millisecond' where key = $1`,
      values: [key, waitMs],
    });
  }

  /** Orders has taken note, or has nothing to take note of. */
  async told(job: PaymentJob): Promise<void> {
    const key = paymentKey(job);
    const { rowCount } = await this.pool.query({
      name: 'told-payment',
      text: 'update payments set told_at = coalesce(told_at, now()) where key = $1',
      values: [key],
    });
    if (rowCount === 1) return;
    // Of a job that was not begun.
    await this.pool.query({
      name: 'ended-payment',
      text: `insert into payments (key, kind, data, told_at) values ($1, $2, $3, now())
             on conflict (key) do update set told_at = coalesce(payments.told_at, now())`,
      values: [key, job.kind, JSON.stringify(job.data)],
    });
  }

  /** Marks a job that was just written to `parked` on the same connection: both commit together. */
  async park(client: PoolClient, job: PaymentJob): Promise<void> {
    await client.query({
      name: 'park-payment',
      text: `insert into payments (key, kind, data, parked_id)
             values ($1, $2, $3, currval(pg_get_serial_sequence('parked', 'id')))
             on conflict (key) do update set parked_id = excluded.parked_id`,
      values: [paymentKey(job), job.kind, JSON.stringify(job.data)],
    });
  }

  /** Somebody has decided that it is to run again: from now on the sweep takes it up, too. */
  async unpark(job: PaymentJob): Promise<void> {
    await this.pool.query({
      name: 'unpark-payment',
      text: 'update payments set parked_id = null, parked = false, wait_until = null where key = $1',
      values: [paymentKey(job)],
    });
  }

  /** Marks a job again whose row of `parked` waits, unless a later row holds it. */
  async hold(job: PaymentJob, row: bigint): Promise<void> {
    await this.pool.query({
      name: 'hold-payment',
      text: 'update payments set parked_id = $2 where key = $1 and parked_id is null',
      values: [paymentKey(job), row],
    });
  }

  /** Gives the marks of former versions the rows that they stand for, so that those without one are swept. */
  async adoptMarks(): Promise<void> {
    await this.pool.query(
      `update payments set parked = false,
                           parked_id = (select max(p.id) from parked as p
                                         where p.order_id = split_part(key, ':', 1) and p.type = kind and ${HOLDS})
        where parked and told_at is null`,
    );
  }

  /**
   * Jobs that were begun long ago and of which orders has taken no note, marked so that nobody else takes them up for as
   * long again. Not those that are parked: a mark without a row is none.
   */
  async takeUnfinished(olderThanMs: number, limit: number): Promise<PaymentJob[]> {
    const { rows } = await this.pool.query<PaymentJob>({
      name: 'sweep-payments',
      text: `update payments set swept_at = now()
              where key in (select key from payments
                             where told_at is null and not parked
                               and (parked_id is null or not exists (select 1 from parked as p where p.id = parked_id and ${HOLDS}))
                               and greatest(begun_at, swept_at, wait_until)
                                   < now() - $1::double precision * interval '1 millisecond'
                             order by begun_at limit $2 for update skip locked)
             returning kind, data`,
      values: [olderThanMs, limit],
    });
    return rows;
  }
}
