import { topology } from '@tandem/contracts/topology';
import { createDatabase, databaseUrl } from '@tandem/postgres/database';
import { lastingPorts } from '@tandem/tools/ports.mjs';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { Processes, until, type Environment, type Running } from './processes.ts';
import { ORDER } from './rows/body.ts';

/** The three servers' addresses, and the prefix of everything that a run makes on them. */
export interface Servers {
  POSTGRES_URL: string;
  RABBITMQ_URL: string;
  KAFKA_BROKERS: string;
}

/** A row of the table: one way to take an order, as processes that run. */
export interface Row {
  key: RowKey;
  title: string;
  url: string;
  processes: Running[];
}

export const ROW_TITLES = {
  floor: 'floor: Nest on Fastify, an empty route',
  stock: 'stock: Nest gateway → Transport.RMQ → a handler that does nothing, noDelay',
  stockNagle: 'stock as documented, without noDelay',
  usual: 'usual: stock Nest, one transaction an order, then ClientKafka',
  limit: 'limit: Fastify, amqplib, coalesced, the same append, no framework, no checks',
  core: 'Tandem, relay and analytics stopped',
  full: 'Tandem with relay, Kafka and analytics (no payments)',
} as const;
export type RowKey = keyof typeof ROW_TITLES;

/** Starts rows and single services of Tandem, in namespaces of their own. */
export class Systems {
  constructor(
    readonly servers: Servers,
    readonly namespace: string,
    readonly processes: Processes,
  ) {}

  /** Names of one row. They are removed with the run. */
  names(suffix: string) {
    return topology(`${this.namespace}-${suffix.toLowerCase()}`);
  }

  environment(suffix: string): Environment {
    return {
      ...this.servers,
      NAMESPACE: this.names(suffix).namespace,
      // A table that was filled beforehand holds orders of long ago: ten years keep the deadline of their payments out of it.
      PAYMENT_DEADLINE_MS: '315360000000',
      // Nobody is there to be paid: jobs would only pile up.
      ORDERS_JOBS: 'off',
    };
  }

  database(suffix: string, service: 'orders' | 'analytics' = 'orders'): string {
    return databaseUrl(this.servers.POSTGRES_URL, this.names(suffix).databases[service]);
  }

  async setUp(suffix: string, more: Environment = {}): Promise<void> {
    const environment = { ...this.environment(suffix), ...more };
    await this.processes.run(`${suffix}-orders-setup`, 'apps/orders', 'src/setup.ts', environment);
    await this.processes.run(`${suffix}-analytics-setup`, 'apps/analytics', 'src/setup.ts', environment);
  }

  /** Starts a service of Tandem and waits until it is ready. */
  async service(
    suffix: string,
    service: 'gateway' | 'orders' | 'analytics' | 'payments' | 'provider',
    more: Environment = {},
  ): Promise<{ running: Running; url: string }> {
    const [port] = await lastingPorts(1);
    const environment = { ...this.environment(suffix), [`${service.toUpperCase()}_PORT`]: String(port), ...more };
    const running = this.processes.start(`${suffix}-${service}`, `apps/${service}`, 'src/main.ts', environment);
    const url = `http://127.0.0.1:${port}`;
    await until(`${suffix}-${service} is ready`, async () => (await fetch(`${url}/health/ready`)).ok, {
      about: running.said,
    });
    return { running, url };
  }

  /** Gateway and orders, as many instances of the latter as asked for; with relay and analytics, or without both. */
  async tandem(
    suffix: string,
    { counted }: { counted: boolean },
    setUp: Environment = {},
  ): Promise<{ processes: Running[]; url: string }> {
    await this.setUp(suffix, setUp);
    const orders = await this.service(suffix, 'orders', { ORDERS_RELAY: counted ? 'on' : 'off' });
    const analytics = counted ? [await this.service(suffix, 'analytics')] : [];
    const gateway = await this.service(suffix, 'gateway');
    return { processes: [gateway, orders, ...analytics].map(({ running }) => running), url: gateway.url };
  }

  async row(key: RowKey): Promise<Row> {
    const { processes, url } = await this.#start(key);
    const place = async () => {
      const response = await fetch(`${url}/v1/orders`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(ORDER),
        signal: AbortSignal.timeout(3_000),
      });
      await response.text();
      return response.status === 201;
    };
    await until(`${key} takes orders`, place, { about: () => processes.map((one) => one.said()).join('\n') });
    return { key, title: ROW_TITLES[key], processes, url };
  }

  async #start(key: RowKey): Promise<{ processes: Running[]; url: string }> {
    if (key === 'core' || key === 'full') return this.tandem(key, { counted: key === 'full' });
    const [port] = await lastingPorts(1);
    const names = this.names(key);
    const environment: Environment = {
      ...this.servers,
      PORT: String(port),
      QUEUE: names.queues.orderCommands,
      TOPIC: names.topics.orderEvents,
      NO_DELAY: key === 'stockNagle' ? 'off' : 'on',
      DATABASE_URL: this.database(key),
    };
    const start = (file: string) => this.processes.start(`${key}-${file}`, 'bench', `src/rows/${file}.ts`, environment);
    const url = `http://127.0.0.1:${port}`;
    if (key === 'floor') return { processes: [start('floor')], url };
    if (key === 'limit') {
      await this.processes.run('limit-setup', 'apps/orders', 'src/setup.ts', this.environment(key));
      return { processes: [start('limit-gateway'), start('limit-orders')], url };
    }
    if (key === 'usual') await this.#setUpUsual();
    return { processes: [start('stock-gateway'), start(key === 'usual' ? 'usual-handler' : 'stock-handler')], url };
  }

  async #setUpUsual(): Promise<void> {
    const { databases, topics } = this.names('usual');
    await createDatabase(this.servers.POSTGRES_URL, databases.orders);
    await this.query(
      this.database('usual'),
      `create table orders (id uuid primary key, customer_id text not null, status text not null, state json not null);
       create index orders_by_customer on orders (customer_id, id)`,
    );
    const admin = this.kafka().admin();
    await admin.connect();
    try {
      await admin.createTopics({ waitForLeaders: true, topics: [{ topic: topics.orderEvents, numPartitions: 6 }] });
    } finally {
      await admin.disconnect();
    }
  }

  kafka(): Kafka {
    return new Kafka({ brokers: this.servers.KAFKA_BROKERS.split(','), logLevel: logLevel.ERROR });
  }

  /** Runs SQL on a connection of its own; of several statements the rows of the last. */
  async query<T extends pg.QueryResultRow>(url: string, text: string, values?: unknown[]): Promise<T[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      const result = await client.query<T>(text, values);
      return (Array.isArray(result) ? (result as pg.QueryResult<T>[]).at(-1) : result)?.rows ?? [];
    } finally {
      await client.end();
    }
  }

  /** Waits until analytics has counted all that a namespace holds; resolves with how long that took. */
  async untilCounted(suffix: string, timeoutMs = 120_000): Promise<number> {
    const startedAt = performance.now();
    const orders = this.database(suffix);
    const analytics = this.database(suffix, 'analytics');
    await until(
      `everything of ${suffix} is counted`,
      async () => {
        const [log] = await this.query<{ published: boolean; partitions: { partition: number; position: string }[] }>(
          orders,
          `select f.position = (select coalesce(max(position), 0) from events) as published, f.partitions
             from followers f`,
        );
        const marks = await this.query<{ partition: number; mark: string }>(
          analytics,
          'select partition, mark::text from consumer_offsets where topic = $1',
          [this.names(suffix).topics.orderEvents],
        );
        const markOf = new Map(marks.map(({ partition, mark }) => [partition, mark]));
        return (
          log?.published === true && log.partitions.every((end) => (markOf.get(end.partition) ?? '0') === end.position)
        );
      },
      { timeoutMs, everyMs: 100 },
    );
    return performance.now() - startedAt;
  }
}
