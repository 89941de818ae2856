import {
  Module,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { parkedPatterns } from '@tandem/contracts/parked';
import { paymentJobsTopology } from '@tandem/contracts/payment-jobs';
import { topology } from '@tandem/contracts/topology';
import { lookAtDatabase, MeasuredClock } from '@tandem/postgres/clock';
import { createPool } from '@tandem/postgres/pool';
import { Health, type Check } from '@tandem/telemetry/health';
import { HealthController } from '@tandem/telemetry/health.controller';
import type { Logger } from '@tandem/telemetry/logger';
import { JobPublisher } from '@tandem/transports/rabbitmq/job-publisher';
import { JobServer } from '@tandem/transports/rabbitmq/job-server';
import { ParkedMessages } from '@tandem/transports/rabbitmq/parked-messages';
import { Parked, parkedController } from '@tandem/transports/rabbitmq/parked.controller';
import { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { RabbitMqServer } from '@tandem/transports/rabbitmq/rabbitmq-server';
import type { Pool } from 'pg';
import type { Config } from './config.ts';
import { paymentsUrl } from './database.ts';
import { PaymentHandler } from './payment-handler.ts';
import { PaymentJobsController } from './payment-jobs.controller.ts';
import { PaymentRecords } from './payment-records.ts';
import { ProviderClient } from './provider-client.ts';
import { holdDroppedJob, parkJob, redrivableJob } from './parking.ts';
import { Unfinished } from './unfinished.ts';

/** How long orders may take to answer before it is asked again. */
const ORDERS_DEADLINE_MS = 5_000;
const CONFIRM_TIMEOUT_MS = 10_000;
/** A provider that is so much slower than it may be has decided by then. */
const SETTLED_AFTER_TIMEOUTS = 10;
const QUERIES_MAX = 16;

/** Everything that lives as long as the service, made once from its configuration. */
export class Payments implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  readonly pool: Pool;
  readonly records: PaymentRecords;
  readonly provider: ProviderClient;
  readonly commands: RabbitMqClient;
  readonly queries: RabbitMqClient;
  readonly publisher: JobPublisher;
  readonly jobServer: JobServer;
  readonly queryServer: RabbitMqServer;
  readonly parked: ParkedMessages;
  readonly handler: PaymentHandler;
  readonly unfinished: Unfinished;
  readonly health = new Health('payments');

  constructor(config: Config, logger: Logger) {
    const names = topology(config.NAMESPACE);
    const jobs = paymentJobsTopology(names);
    const url = config.RABBITMQ_URL;
    this.pool = createPool({
      url: paymentsUrl(config),
      name: 'payments',
      connectionsMax: config.PAYMENTS_CONNECTIONS_MAX,
      connectTimeoutMs: 1_000,
      statementTimeoutMs: 4_000,
      lockTimeoutMs: 4_000,
      idleInTransactionTimeoutMs: 4_000,
      onIdleError: (error) => logger.warn(`An idle database connection was lost: ${error.message}`, 'Postgres'),
    });
    this.records = new PaymentRecords(this.pool);
    const parked = { service: 'payments', table: 'parked', url, pool: this.pool } as const;
    this.parked = new ParkedMessages({
      ...parked,
      toRedrivable: (message) => redrivableJob(this.records, message),
      beforeDrop: (row, content) => holdDroppedJob(this.records, row, content),
    });
    this.queryServer = new RabbitMqServer({
      url,
      queue: names.queues.paymentsQueries,
      name: names.queues.paymentsQueries,
      prefetchCount: QUERIES_MAX,
      patterns: Object.values(parkedPatterns('payments')),
      park: (message) => this.parked.park(message),
    });
    this.jobServer = new JobServer({
      url,
      name: 'payments',
      topology: jobs,
      prefetchCount: config.PAYMENTS_PREFETCH,
      attemptsMax: config.PAYMENTS_ATTEMPTS_MAX,
      confirmTimeoutMs: CONFIRM_TIMEOUT_MS,
      park: (job) => parkJob(this.pool, this.records, jobs, job),
    });
    this.provider = new ProviderClient({
      url: config.PROVIDER_URL,
      timeoutMs: config.PROVIDER_TIMEOUT_MS,
      restMs: config.PROVIDER_REST_MS,
      onAway: (reason) => {
        logger.warn(`No charge succeeds, so jobs are left on their queues: ${reason}`, 'Provider');
        this.jobServer.pause(reason);
      },
      onBack: () => {
        logger.log('Charges succeed again', 'Provider');
        this.jobServer.resume();
      },
      tryOne: () => this.jobServer.runOne(),
    });
    const ask = (queue: string) =>
      new RabbitMqClient({
        url,
        queue,
        name: `payments to ${queue}`,
        deadlineMs: ORDERS_DEADLINE_MS,
        inFlightMax: 1_000,
      });
    this.commands = ask(names.queues.orderCommands);
    this.queries = ask(names.queues.orderQueries);
    this.handler = new PaymentHandler({
      records: this.records,
      provider: this.provider,
      commands: this.commands,
      queries: this.queries,
      windowMs: config.PROVIDER_WINDOW_MS,
      settleMs: SETTLED_AFTER_TIMEOUTS * config.PROVIDER_TIMEOUT_MS,
      restMs: config.PROVIDER_REST_MS,
    });
    this.publisher = new JobPublisher({
      url,
      name: 'payments (unfinished)',
      topology: jobs,
      confirmTimeoutMs: CONFIRM_TIMEOUT_MS,
      onFailure: (reason) => logger.warn(reason, 'JobPublisher'),
    });
    this.unfinished = new Unfinished({
      records: this.records,
      publisher: this.publisher,
      olderThanMs: config.PAYMENTS_SWEEP_AFTER_MS,
      paused: () => this.jobServer.pausedReason !== undefined,
      onFailure: (error) => logger.warn(`Unfinished payments were not looked up: ${error.message}`, 'Unfinished'),
    });
    this.health.add('rabbitmq', () => this.#rabbitMq());
    this.health.add('postgres', () => this.#postgres());
    this.health.add('provider', () => this.#provider());
    this.health.add('parked', () => this.#parked());
  }

  onApplicationBootstrap(): void {
    // Not awaited: RabbitMQ may be away.
    void this.commands.connect();
    void this.queries.connect();
    this.unfinished.start();
  }

  beforeApplicationShutdown(): void {
    this.health.stopping();
  }

  /** After the server has stopped taking. */
  async onApplicationShutdown(): Promise<void> {
    this.provider.close();
    await this.unfinished.stop();
    await Promise.all([this.publisher.close(), this.commands.close(), this.queries.close()]);
    await this.pool.end();
  }

  #rabbitMq(): Check {
    const reason = this.jobServer.notReadyReason ?? this.commands.notReadyReason ?? this.queryServer.notReadyReason;
    return reason === undefined ? { status: 'ok' } : { status: 'unavailable', reason };
  }

  async #postgres(): Promise<Check> {
    await this.pool.query('select 1 from payments limit 1');
    const clock = new MeasuredClock();
    const readOnly = await lookAtDatabase(this.pool, clock);
    if (readOnly !== undefined) return { status: 'unavailable', reason: readOnly };
    const { difference } = clock;
    return difference === undefined ? { status: 'ok' } : { status: 'degraded', reason: difference };
  }

  /** Jobs wait on their queues meanwhile. */
  #provider(): Check {
    const reason = this.provider.awayReason;
    return reason === undefined ? { status: 'ok' } : { status: 'degraded', reason };
  }

  async #parked(): Promise<Check> {
    const count = await this.parked.waiting().catch(() => undefined);
    if (count === undefined) return { status: 'degraded', reason: 'could not be looked up' };
    return count === 0 ? { status: 'ok' } : { status: 'degraded', reason: `${count} parked` };
  }
}

/** The providers are the service's own parts, by their classes. */
@Module({})
export class AppModule {
  static of(payments: Payments): DynamicModule {
    return {
      module: AppModule,
      controllers: [PaymentJobsController, parkedController('payments'), HealthController],
      providers: [
        { provide: Payments, useValue: payments },
        { provide: PaymentHandler, useValue: payments.handler },
        { provide: Parked, useValue: payments.parked },
        { provide: Health, useValue: payments.health },
      ],
    };
  }
}
