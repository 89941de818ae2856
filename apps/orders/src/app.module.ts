import { Module, type DynamicModule } from '@nestjs/common';
import { paymentJobsTopology } from '@tandem/contracts/payment-jobs';
import { parkedPatterns } from '@tandem/contracts/parked';
import { INTAKE, ORDER_QUERIES, topology, type Topology } from '@tandem/contracts/topology';
import { databaseUrl } from '@tandem/postgres/database';
import { createPool } from '@tandem/postgres/pool';
import { Health, type Check } from '@tandem/telemetry/health';
import { HealthController } from '@tandem/telemetry/health.controller';
import type { Logger } from '@tandem/telemetry/logger';
import { JobPublisher } from '@tandem/transports/rabbitmq/job-publisher';
import { Parked, parkedController } from '@tandem/transports/rabbitmq/parked.controller';
import { ParkedMessages } from '@tandem/transports/rabbitmq/parked-messages';
import { FanoutPublisher } from '@tandem/transports/rabbitmq/fanout';
import { RabbitMqServer, type RabbitMqServerOptions } from '@tandem/transports/rabbitmq/rabbitmq-server';
import type { Pool } from 'pg';
import type { Config } from './config.ts';
import { DatabaseWatch } from './database-watch.ts';
import { kafkaOf } from './followers/kafka-client.ts';
import { PaymentDeadlines } from './deadlines/payment-deadlines.ts';
import { GroupCommit } from './event-store/group-commit.ts';
import { PAYMENT_JOBS_FOLLOWER, PaymentJobs } from './followers/payment-jobs.ts';
import { FOLLOWER, Relay } from './followers/relay.ts';
import { CommandHandler } from './order/command-handler.ts';
import { IntakeSwitch } from './operator/intake-switch.ts';
import { OperatorController } from './operator/operator.controller.ts';
import { OrderController } from './order/order.controller.ts';
import { LIST_SETTINGS } from './queries/order-list.ts';
import { OrderQueries } from './queries/order-queries.ts';
import { QueriesController } from './queries/queries.controller.ts';
import { WantedPayments } from './queries/wanted-payments.ts';
import { checkParked, checkPublished } from './readiness.ts';

/** Operators are answered, and repeats of commands, however much else is asked. */
const CONTROL_CONNECTIONS_MAX = 3;
const CONTROL_PREFETCH = 8;

/** Pages that are read at once. Two keep both the database and the event loop busy, and a command waits for two at most. */
const PAGES_AT_ONCE = 2;

/** Everything that lives as long as the service, made once from its configuration. */
export class Orders {
  readonly names: Topology;
  readonly commandPool: Pool;
  readonly queryPool: Pool;
  readonly pagePool: Pool;
  readonly controlPool: Pool;
  readonly database: DatabaseWatch;
  readonly relay: Relay;
  /** Undefined where jobs are left to other instances. */
  readonly jobs: PaymentJobs | undefined;
  readonly #jobPublisher: JobPublisher | undefined;
  readonly commits: GroupCommit;
  readonly deadlines: PaymentDeadlines;
  readonly everyGateway: FanoutPublisher;
  readonly parked: ParkedMessages;
  readonly commandServer: RabbitMqServer;
  readonly queryServer: RabbitMqServer;
  readonly controlServer: RabbitMqServer;
  readonly health = new Health('orders');

  constructor(config: Config, logger: Logger) {
    this.names = topology(config.NAMESPACE);
    const url = databaseUrl(config.POSTGRES_URL, this.names.databases.orders);
    const onIdleError = (error: Error) =>
      logger.warn(`An idle database connection was lost: ${error.message}`, 'Postgres');
    const limits = { connectTimeoutMs: 1_000, lockTimeoutMs: 4_000, idleInTransactionTimeoutMs: 4_000, onIdleError };
    const connectionsMax = config.ORDERS_CONNECTIONS_MAX;
    this.commandPool = createPool({
      url,
      name: 'orders.commands',
      connectionsMax,
      statementTimeoutMs: 4_000,
      ...limits,
    });
    this.queryPool = createPool({
      url,
      name: 'orders.queries',
      connectionsMax,
      statementTimeoutMs: 3_000,
      ...limits,
    });
    this.pagePool = createPool({
      url,
      name: 'orders.pages',
      statementTimeoutMs: 3_000,
      settings: LIST_SETTINGS,
      ...limits,
      connectionsMax: PAGES_AT_ONCE,
      // They wait for their turn, not for the server.
      connectTimeoutMs: 3_000,
    });
    this.controlPool = createPool({
      url,
      name: 'orders.control',
      connectionsMax: CONTROL_CONNECTIONS_MAX,
      statementTimeoutMs: 4_000,
      ...limits,
    });
    this.database = new DatabaseWatch({ pool: this.controlPool, everyMs: 1_000, lockMsMax: limits.lockTimeoutMs });
    this.relay = new Relay({
      kafka: kafkaOf(config, logger),
      topology: this.names,
      // The leader writes its checkpoint alone: one that a crash takes away is found again by looking at the log.
      leadership: {
        url,
        idleTimeoutMs: 3_000,
        heartbeatMs: 1_000,
        retryMs: 500,
        statementTimeoutMs: 10_000,
        commitsAsynchronously: true,
      },
      eventsMax: 4_000,
      bytesMax: 16 * 1024 * 1024,
      partitionBytesMax: 512 * 1024,
      batchMsMin: 60,
      batchMsMax: 250,
      pollMsMin: 5,
      pollMsMax: 50,
      lookMs: 2_000,
      onFailure: (error) => logger.warn(`The relay starts over: ${error.message}`, 'Relay'),
    });
    if (config.ORDERS_JOBS === 'on') {
      this.#jobPublisher = new JobPublisher({
        url: config.RABBITMQ_URL,
        name: 'orders (payment jobs)',
        topology: paymentJobsTopology(this.names),
        confirmTimeoutMs: 10_000,
        onFailure: (reason) => logger.warn(reason, 'PaymentJobs'),
      });
      this.jobs = new PaymentJobs({
        publisher: this.#jobPublisher,
        leadership: { url, idleTimeoutMs: 3_000, heartbeatMs: 1_000, retryMs: 500, statementTimeoutMs: 10_000 },
        eventsMax: 500,
        batchMsMin: 20,
        pollMsMin: 5,
        pollMsMax: 100,
        unsettledMsMax: config.ORDERS_UNSETTLED_MS,
        onFailure: (error) => logger.warn(`Payment jobs wait: ${error.message}`, 'PaymentJobs'),
      });
    }
    this.commits = new GroupCommit({
      pool: this.commandPool,
      commandsMax: 500,
      unavailableAfterMs: 1_000,
      retryPauseMs: 50,
      now: () => this.database.now(),
      limits: { totalMax: config.ORDER_TOTAL_MAX, eventsMax: config.ORDER_EVENTS_MAX },
      onAppended: () => {
        this.relay.wake();
        this.jobs?.wake();
      },
    });
    this.deadlines = new PaymentDeadlines({
      commits: this.commits,
      leadership: { url, idleTimeoutMs: 3_000, heartbeatMs: 1_000, retryMs: 500, statementTimeoutMs: 10_000 },
      deadlineMs: config.PAYMENT_DEADLINE_MS,
      ordersMax: 250,
      pollMs: 500,
      onFailure: (error) => logger.warn(`Payment deadlines start over: ${error.message}`, 'PaymentDeadlines'),
    });
    this.everyGateway = new FanoutPublisher({
      url: config.RABBITMQ_URL,
      exchange: this.names.exchanges.operator,
      name: 'orders to every gateway',
      confirmTimeoutMs: 3_000,
      onFailure: (reason) => logger.warn(`Gateways cannot be told of a switch: ${reason}`, 'Operator'),
    });
    const parked = { service: 'orders', table: 'parked', url: config.RABBITMQ_URL } as const;
    this.parked = new ParkedMessages({ ...parked, pool: this.controlPool });
    const serve = (queue: string, prefetchCount: number, more: Partial<RabbitMqServerOptions> = {}) =>
      new RabbitMqServer({
        url: config.RABBITMQ_URL,
        queue,
        name: queue,
        prefetchCount,
        park: (message) => this.parked.park(message),
        clock: this.database.clock,
        ...more,
      });
    this.commandServer = serve(this.names.queues.orderCommands, config.ORDERS_PREFETCH);
    this.queryServer = serve(this.names.queues.orderQueries, config.ORDERS_PREFETCH);
    this.controlServer = serve(this.names.queues.orderControl, CONTROL_PREFETCH, {
      patterns: [...Object.values(INTAKE), ORDER_QUERIES.outcome, ...Object.values(parkedPatterns('orders'))],
    });
    this.health.add('rabbitmq', () => this.#rabbitMq());
    this.health.add('postgres', () => this.database.check());
    this.health.add('clock', () => this.database.checkClock());
    this.health.add('relay', () => this.#relay());
    if (this.jobs !== undefined) this.health.add('payment jobs', () => this.#paymentJobs());
    this.health.add('parked', () => checkParked(this.parked).catch(notLooked));
  }

  /** After the servers have stopped taking: finishes what was taken, then lets go of the servers it used. */
  async close(): Promise<void> {
    await this.everyGateway.close();
    await this.deadlines.stop();
    await this.commits.drained();
    await Promise.all([this.relay.stop(), this.jobs?.stop()]);
    await this.#jobPublisher?.close();
    await this.database.stop();
    await Promise.all([this.commandPool.end(), this.queryPool.end(), this.pagePool.end(), this.controlPool.end()]);
  }

  #rabbitMq(): Check {
    const servers = [this.commandServer, this.queryServer, this.controlServer];
    const reason = servers.map(({ notReadyReason }) => notReadyReason).find((one) => one !== undefined);
    return reason === undefined ? { status: 'ok' } : { status: 'unavailable', reason };
  }

  /** Orders are taken without Kafka: their events wait in the table. */
  async #relay(): Promise<Check> {
    const { failure } = this.relay.state;
    if (failure !== undefined) return { status: 'degraded', reason: failure };
    return checkPublished(this.queryPool, FOLLOWER).catch(notLooked);
  }

  /** Orders are taken all the same: their payment is asked for later. */
  async #paymentJobs(): Promise<Check> {
    const failure = this.jobs?.failure;
    if (failure !== undefined) return { status: 'degraded', reason: failure };
    return checkPublished(this.queryPool, PAYMENT_JOBS_FOLLOWER).catch(notLooked);
  }
}

/** The check of Postgres itself says whether that stops the service. */
const notLooked = (error: Error): Check => ({ status: 'degraded', reason: `could not be looked up: ${error.message}` });

/** The providers are the service's own parts, by their classes. */
@Module({})
export class AppModule {
  static of(orders: Orders): DynamicModule {
    return {
      module: AppModule,
      controllers: [
        OrderController,
        QueriesController,
        OperatorController,
        parkedController('orders'),
        HealthController,
      ],
      providers: [
        { provide: CommandHandler, useValue: new CommandHandler(orders.commits, orders.controlPool) },
        { provide: OrderQueries, useValue: new OrderQueries(orders.queryPool, orders.pagePool) },
        { provide: WantedPayments, useValue: new WantedPayments(orders.queryPool) },
        { provide: IntakeSwitch, useValue: new IntakeSwitch(orders.controlPool, orders.everyGateway) },
        { provide: Parked, useValue: orders.parked },
        { provide: Health, useValue: orders.health },
      ],
    };
  }
}
