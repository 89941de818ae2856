import { Module, type DynamicModule } from '@nestjs/common';
import { topology } from '@tandem/contracts/topology';
import { Health, type Check } from '@tandem/telemetry/health';
import { HealthModule } from '@tandem/telemetry/health.controller';
import { RabbitMqClient, type RabbitMqClientOptions } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { AnalyticsClient } from './analytics/analytics.client.ts';
import { AnalyticsController } from './analytics/analytics.controller.ts';
import type { Config } from './config.ts';
import { IntakeState } from './operator/intake.ts';
import { OperatorClient } from './operator/operator.client.ts';
import { OperatorController } from './operator/operator.controller.ts';
import { OrdersClient } from './orders/orders.client.ts';
import { OrdersController } from './orders/orders.controller.ts';
import { ParkedClient } from './parked/parked.client.ts';
import { ParkedController } from './parked/parked.controller.ts';
import { ProblemsController } from './problems.controller.ts';
import { ProjectionsClient } from './projections/projections.client.ts';
import { ProjectionsController } from './projections/projections.controller.ts';

/** What operators may ask of one service at once. */
const CONTROL_MAX = 64;
/** How many retries may look up their stored answer at once while commands are refused; further ones are refused, too. */
const LOOK_UPS_MAX = 16;

/** Everything that lives as long as the gateway, made once from its configuration. */
export class Gateway {
  readonly health = new Health('gateway');
  readonly orders: OrdersClient;
  readonly analytics: AnalyticsClient;
  readonly parked: ParkedClient;
  readonly projections: ProjectionsClient;
  readonly operator: OperatorClient;
  readonly intake: IntakeState;
  readonly #clients: RabbitMqClient[];

  constructor(config: Config) {
    const { queues, exchanges } = topology(config.NAMESPACE);
    const client = (queue: string, more: Partial<RabbitMqClientOptions> = {}) =>
      new RabbitMqClient({
        url: config.RABBITMQ_URL,
        queue,
        name: `gateway to ${queue}`,
        deadlineMs: config.DEADLINE_MS,
        inFlightMax: config.IN_FLIGHT_MAX,
        ...more,
      });
    const bounded = { waitMsMax: config.IN_FLIGHT_WAIT_MS };
    const control = client(queues.orderControl, { inFlightMax: CONTROL_MAX });
    const { clock } = control;
    const commands = client(queues.orderCommands, { ...bounded, clock });
    const queries = client(queues.orderQueries, bounded);
    const lookUps = client(queues.orderControl, { inFlightMax: LOOK_UPS_MAX, clock });
    // Some of its answers are waited for on purpose: `?after=`.
    const analytics = client(queues.analyticsQueries);
    const analyticsControl = client(queues.analyticsControl, { inFlightMax: CONTROL_MAX });
    const payments = client(queues.paymentsQueries);
    this.#clients = [commands, queries, control, lookUps, analytics, analyticsControl, payments];
    this.orders = new OrdersClient(commands, queries, lookUps);
    this.analytics = new AnalyticsClient(analytics, this.orders, config.AFTER_WAIT_MS);
    this.parked = new ParkedClient({ orders: control, analytics: analyticsControl, payments });
    this.projections = new ProjectionsClient(analyticsControl);
    this.operator = new OperatorClient(control);
    this.intake = new IntakeState({
      rabbitMqUrl: config.RABBITMQ_URL,
      exchange: exchanges.operator,
      ask: () => this.operator.intake(),
      refreshMs: 10_000,
      retryMs: 500,
    });
    this.health.add('rabbitmq', () => this.#rabbitMq());
    this.health.add('services', () => this.#services());
    this.health.add('intake', () => this.intake.check());
  }

  /** Starts connecting. Resolves within seconds though RabbitMQ is away: requests are answered 503 until it is there. */
  async connect(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.connect()));
    await this.intake.start();
  }

  /** After the last answer has gone out. */
  async close(): Promise<void> {
    await this.intake.close();
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  /** A deserted queue makes the gateway degraded, not unready: the other services still answer. */
  #services(): Check {
    const reasons = new Set(this.#clients.flatMap(({ desertedReason }) => desertedReason ?? []));
    return reasons.size === 0 ? { status: 'ok' } : { status: 'degraded', reason: [...reasons].join('; ') };
  }

  #rabbitMq(): Check {
    const reason = this.#clients.find((client) => !client.ready)?.notReadyReason;
    return reason === undefined ? { status: 'ok' } : { status: 'unavailable', reason };
  }
}

@Module({})
export class AppModule {
  static of(gateway: Gateway): DynamicModule {
    return {
      module: AppModule,
      imports: [HealthModule.forRoot(gateway.health)],
      controllers: [
        OrdersController,
        AnalyticsController,
        ParkedController,
        ProjectionsController,
        OperatorController,
        ProblemsController,
      ],
      providers: [
        { provide: OrdersClient, useValue: gateway.orders },
        { provide: AnalyticsClient, useValue: gateway.analytics },
        { provide: OperatorClient, useValue: gateway.operator },
        { provide: IntakeState, useValue: gateway.intake },
        { provide: ParkedClient, useValue: gateway.parked },
        { provide: ProjectionsClient, useValue: gateway.projections },
      ],
    };
  }
}
