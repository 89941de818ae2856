import { randomUUID } from 'node:crypto';
import { Logger } from '@nestjs/common';
import { ORDER_EVENTS, topology, type Topology } from '@tandem/contracts/topology';
import { dropDatabase } from '@tandem/postgres/database';
import { createPool } from '@tandem/postgres/pool';
import { createHostileDatabase } from '@tandem/postgres/temporary-database';
import type { Pool } from 'pg';
import { Progress } from './checkpoints/progress.ts';
import { readConfig, type Config } from './config.ts';
import { analyticsUrl, COUNTED_TABLES, setUpDatabase } from './database.ts';
import { AnalyticsQueries } from './queries/analytics-queries.ts';
import { LogEnds } from './queries/log-ends.ts';

// What is expected to go wrong in a test is told by its assertions.
Logger.overrideLogger(false);

/** A configuration in a namespace of its own, on the servers of the environment. */
export function testConfig(environment: Record<string, string> = {}): Config {
  const NAMESPACE = `analytics-test-${randomUUID().slice(0, 8)}`;
  return readConfig({ ...process.env, LOG_LEVEL: 'silent', ANALYTICS_PORT: '0', ...environment, NAMESPACE });
}

/** The database of analytics in a namespace of its own, on the real server. */
export class AnalyticsDatabase {
  private constructor(
    readonly config: Config,
    readonly names: Topology,
    readonly pool: Pool,
  ) {}

  static async create(config = testConfig()): Promise<AnalyticsDatabase> {
    await createHostileDatabase(config.POSTGRES_URL, topology(config.NAMESPACE).databases.analytics);
    await setUpDatabase(config);
    return new AnalyticsDatabase(config, topology(config.NAMESPACE), poolOf(config, 8));
  }

  /** Connections of its own. */
  newPool(connectionsMax: number): Pool {
    return poolOf(this.config, connectionsMax);
  }

  /** Everything is as it was before anything was counted. */
  async empty(): Promise<void> {
    await this.pool.query(`truncate ${COUNTED_TABLES.join(', ')}`);
  }

  /** The queries of an instance, which may have a progress of its own. */
  queries(progress = new Progress(this.pool, ORDER_EVENTS)): AnalyticsQueries {
    return new AnalyticsQueries(
      this.pool,
      ORDER_EVENTS,
      progress,
      new LogEnds(this.config.KAFKA_BROKERS, ORDER_EVENTS),
    );
  }

  async remove(): Promise<void> {
    await this.pool.end();
    await dropDatabase(this.config.POSTGRES_URL, this.names.databases.analytics);
  }
}

const poolOf = (config: Config, connectionsMax: number) =>
  createPool({
    url: analyticsUrl(config),
    name: 'analytics.test',
    connectionsMax,
    pipelined: true,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 10_000,
    lockTimeoutMs: 5_000,
    idleInTransactionTimeoutMs: 5_000,
    onIdleError: () => undefined,
  });

/** Tries something again and again until it holds; what it last threw is the failure. */
export async function eventually<T>(assertion: () => Promise<T> | T, msMax = 15_000): Promise<T> {
  const late = performance.now() + msMax;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() > late) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
