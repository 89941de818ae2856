/** The patterns of RabbitMQ request/reply, by the service that answers them. */
export const ORDER_COMMANDS = {
  place: 'order.place',
  cancel: 'order.cancel',
  ship: 'order.ship',
  deliver: 'order.deliver',
  refund: 'order.refund',
  closeRefund: 'order.close-refund',
  recordPayment: 'order.record-payment',
  recordDecline: 'order.record-decline',
  recordRefund: 'order.record-refund',
  recordRefundDecline: 'order.record-refund-decline',
} as const;
export const ORDER_QUERIES = {
  get: 'order.get',
  list: 'order.list',
  events: 'order.events',
  newestPosition: 'order.newest-position',
  paymentWanted: 'order.payment-wanted',
  outcome: 'order.outcome',
} as const;
/** The operator's switch, which orders keeps: `set` is a command, `get` a query. */
export const INTAKE = { get: 'intake.get', set: 'intake.set' } as const;
export const ANALYTICS_QUERIES = {
  summary: 'analytics.summary',
  revenue: 'analytics.revenue',
  funnel: 'analytics.funnel',
  durations: 'analytics.durations',
  products: 'analytics.products',
  customers: 'analytics.customers',
  lag: 'analytics.lag',
} as const;

export const PROJECTION_QUERIES = {
  list: 'analytics.projections',
  rebuild: 'analytics.rebuild',
  cancelRebuild: 'analytics.cancel-rebuild',
} as const;

/** Partitions of `order.events`. Another number means a new topic and a rebuild: order ids would move. */
export const ORDER_EVENTS_PARTITIONS = 6;

/** The unprefixed topic of events, which Nest handlers name: `@EventPattern(ORDER_EVENTS)`. */
export const ORDER_EVENTS = 'order.events';
export const ORDER_CHECKPOINTS = 'order.checkpoints';

/** The most that one stored event may take as JSON, far below the broker's `max.message.bytes`. */
export const EVENT_BYTES_MAX = 262_144;

export type Service = 'gateway' | 'orders' | 'payments' | 'analytics';

/**
 * The names of everything that lives on a server, in one namespace. Two namespaces on the same servers share nothing.
 *
 * @param namespace lower-case letters, digits, `_` and `-`; empty for no prefix.
 */
export function topology(namespace: string) {
  const dotted = (name: string) => (namespace === '' ? name : `${namespace}.${name}`);
  const snaked = (name: string) => (namespace === '' ? name : `${namespace}_${name}`);
  return {
    namespace,
    /** Each database belongs to the role of the same name. */
    databases: { orders: snaked('orders'), payments: snaked('payments'), analytics: snaked('analytics') },
    queues: {
      orderCommands: dotted('orders.commands'),
      orderQueries: dotted('orders.queries'),
      /** What operators ask, and repeats of commands: never behind anything else. */
      orderControl: dotted('orders.control'),
      analyticsQueries: dotted('analytics.queries'),
      analyticsControl: dotted('analytics.control'),
      paymentsQueries: dotted('payments.queries'),
      paymentsCard: dotted('payments.card'),
      paymentsCardExpress: dotted('payments.card.express'),
      paymentsInvoice: dotted('payments.invoice'),
      paymentsInvoiceExpress: dotted('payments.invoice.express'),
      // Where a failed job waits, by milliseconds: a queue cannot be given another time later, so the time is in its name.
      paymentsRetry1000: dotted('payments.retry.1000'),
      paymentsRetry2000: dotted('payments.retry.2000'),
      paymentsRetry4000: dotted('payments.retry.4000'),
      paymentsRetry8000: dotted('payments.retry.8000'),
      paymentsRetry16000: dotted('payments.retry.16000'),
      /** Where the broker puts a job that was returned too often. */
      paymentsDead: dotted('payments.dead'),
    },
    exchanges: {
      /** Direct: jobs by kind. */
      paymentJobs: dotted('payments.jobs'),
      /** Headers: all jobs, by payment method and delivery. */
      paymentsByMethod: dotted('payments.by-method'),
      /** Fanout: what the operator switches, to every instance of the gateway. */
      operator: dotted('operator'),
    },
    topics: { orderEvents: dotted(ORDER_EVENTS), orderCheckpoints: dotted(ORDER_CHECKPOINTS) },
    groups: {
      analytics: dotted('analytics'),
      analyticsCheckpoints: dotted('analytics-checkpoints'),
    },
  } as const;
}
export type Topology = ReturnType<typeof topology>;
