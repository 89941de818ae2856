import { Controller, type DynamicModule, Get, Header, Inject, Module, Res } from '@nestjs/common';
import { Health, type HealthReport } from './health.ts';

/** The two probes of every service, outside `/v1` and outside the API document. */
@Controller('health')
export class HealthController {
  constructor(@Inject(Health) private readonly health: Health) {}

  /** The process answers. A red one should be restarted, so nothing but the process itself may make it red. */
  @Get('live')
  @Header('cache-control', 'no-store')
  live(): HealthReport {
    return { status: 'ok', service: this.health.service, checks: {} };
  }

  /** The service can do its work: 200 while it can (`ok`, `degraded`), 503 while it cannot. */
  @Get('ready')
  @Header('cache-control', 'no-store')
  async ready(@Res({ passthrough: true }) reply: { status(code: number): unknown }): Promise<HealthReport> {
    const report = await this.health.report();
    if (report.status === 'unavailable') reply.status(503);
    return report;
  }
}

/** Serves the probes of one `Health`, and provides it for injection. */
@Module({})
export class HealthModule {
  static forRoot(health: Health): DynamicModule {
    return {
      module: HealthModule,
      global: true,
      controllers: [HealthController],
      providers: [{ provide: Health, useValue: health }],
      exports: [Health],
    };
  }
}
