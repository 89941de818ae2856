import type { OrderState } from '@tandem/contracts/order';
import { jobOf, PAYMENT_JOBS, type PaymentJob } from '@tandem/contracts/payment-jobs';
import { leadWheneverPossible, pause, type LeadershipOptions, type Term } from '@tandem/postgres/leader';
import type { JobPublisher } from '@tandem/transports/rabbitmq/job-publisher';

export interface PaymentJobsOptions {
  publisher: JobPublisher;
  leadership: Omit<LeadershipOptions, 'name'>;
  /** The most events read at once. */
  eventsMax: number;
  /** The least time from one batch to the next, unless the first was full. */
  batchMsMin: number;
  /** The pause after an empty read: it doubles from the first to the second while nothing comes. */
  pollMsMin: number;
  pollMsMax: number;
  /** An order that is unpaid for so long, or a refund unrecorded, gets its job again. */
  unsettledMsMax: number;
  onFailure: (error: Error) => void;
}

/** The name under which this follower keeps its checkpoint and its leadership. */
export const PAYMENT_JOBS_FOLLOWER = 'payment-jobs';

/** The most jobs on the queues at which more are published again: what waits is not lost. */
const WAITING_MAX = 1_000;

/**
 * Follows the events table and publishes what is work for payments: a job for each placed order, and one for each refund
 * asked for. One leader among all instances; a batch is confirmed and routed before the checkpoint moves, so a job comes at
 * least once. The leader also looks for orders that stay unsettled, and publishes their jobs again: the broker may have
 * lost its disk.
 */
export class PaymentJobs {
  readonly #options: PaymentJobsOptions;
  readonly #stop = new AbortController();
  #wake: () => void = () => undefined;
  #woken = false;
  #failure: string | undefined;
  #running: Promise<void> | undefined;
  /** Where the next look for unpaid orders begins; they are looked at in turn. */
  #sweptTo = NO_ORDER;
  /** The same of refunds: behind many of which nothing comes, the others have their turn, too. */
  #refundsSweptTo: OpenRefund = FIRST_REFUND;

  constructor(options: PaymentJobsOptions) {
    this.#options = options;
  }

  /** Why the last term ended, until the next one is under way. */
  get failure(): string | undefined {
    return this.#failure;
  }

  start(): void {
    const { leadership, onFailure } = this.#options;
    const failed = (error: Error) => {
      if (this.#failure !== error.message) onFailure(error);
      this.#failure = error.message;
    };
    const lead = (term: Term) => this.#lead(term);
    const options = { ...leadership, name: PAYMENT_JOBS_FOLLOWER };
    this.#running = leadWheneverPossible(options, this.#stop.signal, lead, failed);
  }

  /** Tells a waiting follower that there is something to read. */
  wake(): void {
    this.#woken = true;
    this.#wake();
  }

  /** Finishes the batch in flight and gives up the leadership. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #lead(term: Term): Promise<void> {
    const { publisher, eventsMax, batchMsMin, pollMsMin, pollMsMax, unsettledMsMax } = this.#options;
    let position = await readPosition(term);
    let pollMs = pollMsMin;
    let sweptAt = performance.now();
    while (!term.signal.aborted) {
      this.#woken = false;
      const startedAt = performance.now();
      const events = await readEvents(term, position, eventsMax);
      const last = events.at(-1);
      if (last !== undefined) {
        await publisher.publish(jobsOf(events));
        await storePosition(term, last.position, events);
        position = last.position;
        pollMs = pollMsMin;
        const restMs = batchMsMin - (performance.now() - startedAt);
        if (events.length < eventsMax && restMs > 0) await pause(restMs, term.signal);
      } else {
        await this.#rest(pollMs, term.signal);
        pollMs = Math.min(pollMs * 2, pollMsMax);
      }
      this.#failure = undefined;
      if (performance.now() - sweptAt < unsettledMsMax / 4) continue;
      await this.#sweep(term);
      sweptAt = performance.now();
    }
  }

  /** Publishes the jobs of unsettled orders again, as many as the queues have room for. */
  async #sweep(term: Term): Promise<void> {
    const { publisher, unsettledMsMax } = this.#options;
    const room = WAITING_MAX - (await publisher.waiting());
    if (room <= 0) return;
    const refunds = await readUnrecorded(term, this.#refundsSweptTo, unsettledMsMax, room);
    this.#refundsSweptTo = refunds.length < room ? FIRST_REFUND : (refunds.at(-1) ?? FIRST_REFUND);
    const orders = await readUnpaid(term, this.#sweptTo, unsettledMsMax, room);
    // The rest of them next time, and from the first again after the last.
    this.#sweptTo = orders.length < room ? NO_ORDER : (orders.at(-1)?.id ?? NO_ORDER);
    const jobs = [
      ...orders.flatMap(({ id, state }) => authoriseOf(id, state, state.placedAt)),
      ...refunds.flatMap(({ id, state, refundId }) => refundOf(id, state, refundId)),
    ];
    if (jobs.length > 0) await publisher.publish(jobs.map((job) => jobOf(job)));
  }

  #rest(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#woken) return Promise.resolve();
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    return pause(ms, AbortSignal.any([signal, woken.signal]));
  }
}

/** Below every id. */
const NO_ORDER = '00000000-0000-0000-0000-000000000000';

interface OpenRefund {
  id: string;
  refundId: number;
  requestedAt: string;
}
const FIRST_REFUND: OpenRefund = { id: NO_ORDER, refundId: 0, requestedAt: '-infinity' };

interface FollowedEvent {
  position: bigint;
  order_id: string;
  type: string;
  at: Date;
  traceparent: string | null;
  /** Of the events that are work for payments: the order's row, which holds at least what the event says. */
  state: OrderState | null;
  refund_id: number | null;
}

async function readEvents({ client }: Term, after: bigint, limit: number): Promise<FollowedEvent[]> {
  const { rows } = await client.query<FollowedEvent>({
    name: 'read-payment-jobs',
    text: `with batch as (select position, order_id, type, data, at, traceparent
                            from events where position > $1 order by position limit $2)
           select b.position, b.order_id, b.type, b.at, b.traceparent, o.state,
                  case when b.type like 'order.refund-%' then (b.data->>'refundId')::integer end as refund_id
             from batch b
             left join orders o on o.id = b.order_id and b.type in ('order.placed.v1', 'order.refund-requested.v1')
            order by b.position`,
    values: [after, limit],
  });
  return rows;
}

function jobsOf(events: readonly FollowedEvent[]) {
  return events.flatMap(({ type, order_id: id, state, at, refund_id: refundId, traceparent }) => {
    if (state === null) return [];
    const jobs = type === 'order.placed.v1' ? authoriseOf(id, state, at.toISOString()) : refundOf(id, state, refundId);
    return jobs.map((job) => ({ ...jobOf(job), traceparent: traceparent ?? undefined }));
  });
}

/** Nothing when the order has been paid or cancelled before anybody asked for its payment. */
function authoriseOf(orderId: string, order: OrderState, since: string): PaymentJob[] {
  if (order.status !== 'placed') return [];
  const { total: amount, currency, delivery, payment } = order;
  return [
    { kind: PAYMENT_JOBS.authorise, data: { orderId, amount, currency, delivery, method: payment.method, since } },
  ];
}

/** Nothing when the order holds no such refund any more, or knows what became of it. */
function refundOf(orderId: string, order: OrderState, refundId: number | null): PaymentJob[] {
  if (order.status === 'placed' || order.paid === undefined) return [];
  const refund = order.refunds.find(({ id }) => id === refundId);
  if (refund === undefined || (refund.recordedAt ?? refund.declined ?? refund.closed) !== undefined) return [];
  const { currency, delivery, payment, paid } = order;
  const { id, amount, requestedAt: since } = refund;
  const common = { orderId, amount, currency, delivery, method: payment.method, since };
  return [{ kind: PAYMENT_JOBS.refund, data: { ...common, refundId: id, paymentId: paid.paymentId } }];
}

async function readPosition({ client }: Term): Promise<bigint> {
  await client.query('insert into followers (name) values ($1) on conflict do nothing', [PAYMENT_JOBS_FOLLOWER]);
  const { rows } = await client.query<{ position: bigint }>('select position from followers where name = $1', [
    PAYMENT_JOBS_FOLLOWER,
  ]);
  return rows[0]?.position ?? 0n;
}

/** Written over the leader's own connection: whoever has lost the lock has lost it too. */
async function storePosition({ client }: Term, position: bigint, events: readonly FollowedEvent[]): Promise<void> {
  const of = (type: string) => events.filter((event) => event.type === type);
  const requested = of('order.refund-requested.v1');
  const settled = SETTLED.flatMap(of);
  await client.query({
    name: 'store-payment-jobs',
    // Requested and settled in one batch: it is not open any more.
    text: `with opened as (
             insert into open_refunds (order_id, refund_id, requested_at)
             select * from unnest($3::uuid[], $4::integer[], $5::timestamptz[]) as r(order_id, refund_id, at)
              where (order_id, refund_id) not in (select * from unnest($6::uuid[], $7::integer[]))
             on conflict do nothing),
           closed as (
             delete from open_refunds using unnest($6::uuid[], $7::integer[]) as r(order_id, refund_id)
              where open_refunds.order_id = r.order_id and open_refunds.refund_id = r.refund_id)
           update followers set position = $2, updated_at = now() where name = $1`,
    values: [
      PAYMENT_JOBS_FOLLOWER,
      position,
      requested.map((event) => event.order_id),
      requested.map((event) => event.refund_id),
      requested.map((event) => event.at),
      settled.map((event) => event.order_id),
      settled.map((event) => event.refund_id),
    ],
  });
}

/** After these nobody is asked for a refund any more. */
const SETTLED = ['order.refund-recorded.v1', 'order.refund-declined.v1', 'order.refund-closed.v1'];

/** Orders that were placed long ago and are neither paid nor cancelled, after one of them. */
async function readUnpaid({ client }: Term, after: string, olderThanMs: number, limit: number) {
  return (await client.query<{ id: string; state: OrderState }>(unpaidStatement(after, olderThanMs, limit))).rows;
}

/** Reads no more orders than it may show, as `dueStatement` does. Ids begin with the milliseconds of placing. */
export const unpaidStatement = (after: string, olderThanMs: number, limit: number) => ({
  name: 'read-unpaid',
  text: `select o.id, o.state
           from (select status, id from orders where (status, id) > ('placed', $1::uuid)
                  order by status, id limit $3) as oldest
          cross join lateral (select id, state from orders where id = oldest.id offset 0) as o
          where oldest.status = 'placed'
            and oldest.id < (lpad(to_hex((extract(epoch from now()) * 1000 - $2::double precision)::bigint), 12, '0')
                             || repeat('0', 20))::uuid
          order by o.id`,
  values: [after, olderThanMs, limit],
});

/** Refunds that were asked for long ago and of which nothing has come, after one of them. */
async function readUnrecorded({ client }: Term, after: OpenRefund, olderThanMs: number, limit: number) {
  const { rows } = await client.query<OpenRefund & { state: OrderState }>({
    name: 'read-unrecorded',
    text: `select o.id, o.state, r.refund_id as "refundId", r.requested_at::text as "requestedAt"
             from open_refunds r join orders o on o.id = r.order_id
            where r.requested_at < now() - $1::double precision * interval '1 millisecond'
              and (r.requested_at, r.order_id, r.refund_id) > ($3::timestamptz, $4::uuid, $5::integer)
            order by r.requested_at, r.order_id, r.refund_id limit $2`,
    values: [olderThanMs, limit, after.requestedAt, after.id, after.refundId],
  });
  return rows;
}
