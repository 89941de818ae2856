import { randomUUID } from 'node:crypto';
import {
  Module,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { parkedPatterns } from '@tandem/contracts/parked';
import {
  ORDER_CHECKPOINTS,
  ORDER_EVENTS,
  PROJECTION_QUERIES,
  topology,
  type Topology,
} from '@tandem/contracts/topology';
import { lookAtDatabase, MeasuredClock } from '@tandem/postgres/clock';
import { createPool } from '@tandem/postgres/pool';
import { Health, type Check } from '@tandem/telemetry/health';
import { HealthController } from '@tandem/telemetry/health.controller';
import type { Logger } from '@tandem/telemetry/logger';
import { KafkaBatchServer } from '@tandem/transports/kafka/kafka-batch-server';
import { readingClient } from '@tandem/transports/kafka/read-log';
import { Parked, parkedController } from '@tandem/transports/rabbitmq/parked.controller';
import { ParkedMessages } from '@tandem/transports/rabbitmq/parked-messages';
import { RabbitMqServer } from '@tandem/transports/rabbitmq/rabbitmq-server';
import type { Pool } from 'pg';
import { CheckpointsController } from './checkpoints/checkpoints.controller.ts';
import { Progress } from './checkpoints/progress.ts';
import type { Config } from './config.ts';
import { EventCounter } from './consumer/event-counter.ts';
import { rewound } from './consumer/offsets.ts';
import { OrderEventsController } from './consumer/order-events.controller.ts';
import { analyticsUrl } from './database.ts';
import { ParkedInAnalytics } from './parked/parked-in-analytics.ts';
import { ParkedRecords } from './parked/parked-records.ts';
import { PROJECTIONS } from './projections/projections.ts';
import { AnalyticsQueriesController } from './queries/analytics-queries.controller.ts';
import { AnalyticsQueries } from './queries/analytics-queries.ts';
import { LogEnds } from './queries/log-ends.ts';
import { LogBounds } from './rebuild/log-bounds.ts';
import { ProjectionAdministration } from './rebuild/projection-administration.ts';
import { outdated, staleProjections } from './projections/projection-versions.ts';
import { ProjectionsController } from './rebuild/projections.controller.ts';
import { Rebuilder } from './rebuild/rebuilder.ts';

/** Operators are answered however much else is asked. */
const CONTROL_CONNECTIONS_MAX = 2;
const CONTROL_PREFETCH = 8;

/** How many partitions one instance may count at once. */
const PARTITIONS_MAX = 3;

/** The most that one fetch brings of one partition: what is counted again from the beginning takes fewer rows in larger batches. */
const PARTITION_BYTES_MAX = 2_097_152;

/** How often it is looked whether what was counted was forgotten, or what was published was not found. */
const LOOK_MS = 2_000;

/** Readiness tells of a stranger's transaction that holds back a partition for longer. */
const HELD_MS_MAX = 10_000;

/** Everything that lives as long as the service, made once from its configuration. */
export class Analytics implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  readonly names: Topology;
  readonly counterPool: Pool;
  readonly queryPool: Pool;
  readonly controlPool: Pool;
  readonly progress: Progress;
  readonly counter: EventCounter;
  readonly logEnds: LogEnds;
  readonly queries: AnalyticsQueries;
  readonly parkedMessages: ParkedMessages;
  readonly parked: Parked;
  readonly eventServer: KafkaBatchServer;
  readonly checkpointServer: KafkaBatchServer;
  readonly queryServer: RabbitMqServer;
  readonly controlServer: RabbitMqServer;
  readonly projections: ProjectionAdministration;
  readonly #rebuilder: Rebuilder;
  readonly health = new Health('analytics');
  readonly #lagMax: bigint;
  #looking: NodeJS.Timeout | undefined;
  #outdated: string | undefined;

  constructor(config: Config, logger: Logger) {
    this.names = topology(config.NAMESPACE);
    const { topics, groups, queues } = this.names;
    const url = analyticsUrl(config);
    const onIdleError = (error: Error) =>
      logger.warn(`An idle database connection was lost: ${error.message}`, 'Postgres');
    const limits = { connectTimeoutMs: 1_000, lockTimeoutMs: 4_000, idleInTransactionTimeoutMs: 4_000, onIdleError };
    this.counterPool = createPool({
      url,
      name: 'analytics.counter',
      connectionsMax: PARTITIONS_MAX + 1,
      // What is counted and how far commit together: what a crash of the server takes away is counted again from the log.
      commitsAsynchronously: true,
      pipelined: true,
      statementTimeoutMs: 10_000,
      ...limits,
    });
    this.queryPool = createPool({
      url,
      name: 'analytics.queries',
      connectionsMax: config.ANALYTICS_CONNECTIONS_MAX,
      statementTimeoutMs: 3_000,
      ...limits,
    });
    this.controlPool = createPool({
      url,
      name: 'analytics.control',
      connectionsMax: CONTROL_CONNECTIONS_MAX,
      statementTimeoutMs: 3_000,
      ...limits,
    });
    this.progress = new Progress(this.queryPool, topics.orderEvents);
    this.counter = new EventCounter(this.counterPool, PROJECTIONS, () => this.progress.changed());
    const messages = { service: 'analytics', table: 'parked_messages', url: config.RABBITMQ_URL } as const;
    this.parkedMessages = new ParkedMessages({ ...messages, pool: this.controlPool });
    const records = new ParkedRecords(this.controlPool, topics.orderEvents, PROJECTIONS);
    this.parked = new ParkedInAnalytics(records, this.parkedMessages);
    const brokers = config.KAFKA_BROKERS;
    this.logEnds = new LogEnds(brokers, topics.orderEvents);
    this.queries = new AnalyticsQueries(this.queryPool, topics.orderEvents, this.progress, this.logEnds);
    this.eventServer = new KafkaBatchServer({
      brokers,
      clientId: 'analytics',
      groupId: groups.analytics,
      topics: { [ORDER_EVENTS]: topics.orderEvents },
      startAt: (topic, partition, bounds) => this.counter.startAt(topic, partition, bounds),
      whyNotJoin: () => this.#whyNotJoin(),
      partitionsMax: PARTITIONS_MAX,
      partitionBytesMax: PARTITION_BYTES_MAX,
    });
    this.checkpointServer = new KafkaBatchServer({
      brokers,
      clientId: 'analytics.checkpoints',
      // Every instance reads all checkpoints: kafkajs cannot read without a group, so each has one of its own.
      groupId: `${groups.analyticsCheckpoints}.${randomUUID()}`,
      isGroupTemporary: true,
      topics: { [ORDER_CHECKPOINTS]: topics.orderCheckpoints },
      // The newest says all that is needed.
      startAt: async (_topic, _partition, { low, end }) => (end > low ? end - 1n : low),
    });
    this.queryServer = new RabbitMqServer({
      url: config.RABBITMQ_URL,
      queue: queues.analyticsQueries,
      name: queues.analyticsQueries,
      prefetchCount: config.ANALYTICS_PREFETCH,
      park: (message) => this.parkedMessages.park(message),
    });
    this.controlServer = new RabbitMqServer({
      url: config.RABBITMQ_URL,
      queue: queues.analyticsControl,
      name: queues.analyticsControl,
      prefetchCount: CONTROL_PREFETCH,
      patterns: [...Object.values(PROJECTION_QUERIES), ...Object.values(parkedPatterns('analytics'))],
      park: (message) => this.parkedMessages.park(message),
    });
    const bounds = new LogBounds(brokers, topics.orderEvents);
    this.projections = new ProjectionAdministration(this.controlPool, PROJECTIONS, bounds);
    this.#rebuilder = new Rebuilder({
      url,
      kafka: readingClient(brokers, 'analytics.rebuild'),
      topic: topics.orderEvents,
      projections: PROJECTIONS,
      bounds,
    });
    this.#lagMax = BigInt(config.ANALYTICS_LAG_MAX);
    this.health.add('kafka', () => this.#kafka());
    this.health.add('postgres', () => this.#postgres());
    this.health.add('rabbitmq', () => this.#rabbitMq());
    this.health.add('events', () => this.#events());
    this.health.add('checkpoints', () => this.#checkpoints());
    this.health.add('parked', () => this.#parked());
    this.health.add('projections', () => this.#stale());
  }

  onApplicationBootstrap(): void {
    // One that finds the database away is told by the next, and by readiness.
    this.#looking = setInterval(() => void this.#look().catch(() => undefined), LOOK_MS).unref();
    this.#rebuilder.start();
  }

  /** First: no new work is to be sent here, and nobody is kept waiting. */
  beforeApplicationShutdown(): void {
    clearInterval(this.#looking);
    this.health.stopping();
    this.progress.release();
  }

  /** Last, when the servers have finished what they had taken: lets go of the database. */
  async onApplicationShutdown(): Promise<void> {
    await this.#rebuilder.close();
    await this.progress.close();
    await Promise.all([this.counterPool.end(), this.queryPool.end(), this.controlPool.end(), this.logEnds.close()]);
  }

  async #look(): Promise<void> {
    await this.progress.searchMissing();
    await this.#followRewound();
  }

  async #followRewound(): Promise<void> {
    const topic = this.names.topics.orderEvents;
    // Read before the database, which is never behind it.
    const standing = new Map<number, bigint>();
    for (const { partition, nextOffset } of this.eventServer.state.partitions)
      if (nextOffset !== undefined) standing.set(partition, nextOffset);
    if (standing.size > 0) this.eventServer.reposition(topic, await rewound(this.queryPool, topic, standing));
  }

  async #whyNotJoin(): Promise<string | undefined> {
    return (this.#outdated = await outdated(this.counterPool, PROJECTIONS));
  }

  /** An instance that is outdated still answers; that it counts nothing is as it should be. */
  #kafka(): Check {
    const { joined, failure } = this.eventServer.state;
    if (!joined && this.#outdated !== undefined) return { status: 'degraded', reason: this.#outdated };
    return joined ? { status: 'ok' } : { status: 'unavailable', reason: failure ?? 'is not a member of its group' };
  }

  async #postgres(): Promise<Check> {
    await this.queryPool.query('select 1 from consumer_offsets limit 1');
    // Queries are answered all the same.
    const clock = new MeasuredClock();
    const reason = (await lookAtDatabase(this.controlPool, clock)) ?? clock.difference;
    return reason === undefined ? { status: 'ok' } : { status: 'degraded', reason };
  }

  /** Counting goes on without RabbitMQ; only answers have to wait. */
  #rabbitMq(): Check {
    const reason = this.queryServer.notReadyReason ?? this.controlServer.notReadyReason;
    return reason === undefined ? { status: 'ok' } : { status: 'degraded', reason };
  }

  /** Whether what was published is being counted: broken chains and failures first, then the lag. */
  async #events(): Promise<Check> {
    const { partitions } = this.eventServer.state;
    const stalled = partitions.filter(({ stalled }) => stalled !== undefined);
    const lag = partitions.reduce((sum, partition) => sum + partition.lag, 0n);
    const waiting = partitions.filter(({ held }) => performance.now() - (held?.sinceMs ?? Infinity) > HELD_MS_MAX);
    const reasons = [
      ...(await this.progress.problems().catch((error: Error) => [error.message])),
      ...stalled.map(({ partition, stalled }) => `partition ${partition} is held back: ${stalled}`),
      ...waiting.map(
        ({ partition, held }) =>
          `${held?.records} records of partition ${partition} wait for a transaction that somebody has left open`,
      ),
      ...(lag > this.#lagMax ? [`${lag} records are not counted yet`] : []),
    ];
    return reasons.length === 0 ? { status: 'ok' } : { status: 'degraded', reason: reasons.join('; ') };
  }

  /** Without checkpoints events are counted, but it is not known up to which position. */
  #checkpoints(): Check {
    const { joined, failure, partitions } = this.checkpointServer.state;
    const reason = joined ? partitions.find(({ stalled }) => stalled !== undefined)?.stalled : (failure ?? 'not read');
    return reason === undefined ? { status: 'ok' } : { status: 'degraded', reason };
  }

  async #parked(): Promise<Check> {
    const records = await this.queries.parked().catch(() => 0);
    const messages = await this.parkedMessages.waiting().catch(() => 0);
    const reasons = [
      ...(records > 0 ? [`${records} records are parked`] : []),
      ...(messages > 0 ? [`${messages} messages of the queue are parked`] : []),
    ];
    return reasons.length === 0 ? { status: 'ok' } : { status: 'degraded', reason: reasons.join('; ') };
  }

  /** What another version has counted is answered all the same. */
  async #stale(): Promise<Check> {
    const reasons = await staleProjections(this.queryPool, PROJECTIONS).catch((error: Error) => [error.message]);
    return reasons.length === 0 ? { status: 'ok' } : { status: 'degraded', reason: reasons.join('; ') };
  }
}

/** The providers are the service's own parts, by their classes. */
@Module({})
export class AppModule {
  static of(analytics: Analytics): DynamicModule {
    return {
      module: AppModule,
      controllers: [
        OrderEventsController,
        CheckpointsController,
        AnalyticsQueriesController,
        parkedController('analytics'),
        ProjectionsController,
        HealthController,
      ],
      providers: [
        { provide: Analytics, useValue: analytics },
        { provide: EventCounter, useValue: analytics.counter },
        { provide: Progress, useValue: analytics.progress },
        { provide: AnalyticsQueries, useValue: analytics.queries },
        { provide: Parked, useValue: analytics.parked },
        { provide: ProjectionAdministration, useValue: analytics.projections },
        { provide: Health, useValue: analytics.health },
      ],
    };
  }
}
