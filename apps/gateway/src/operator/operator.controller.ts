import { Body, Controller, Get, HttpCode, Post, Query, Req, Res } from '@nestjs/common';
import { GetIntake, SwitchIntake, type Intake } from '@tandem/contracts/intake';
import { INTAKE } from '@tandem/contracts/topology';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { prepare } from '../orders/prepare.ts';
import { refused } from '../problem.ts';
import { traceOf } from '../trace.ts';
import { OperatorClient } from './operator.client.ts';
import { DocumentGetIntake, DocumentSwitchIntake } from './operator.docs.ts';

@Controller('v1/admin/intake')
export class OperatorController {
  constructor(private readonly operator: OperatorClient) {}

  @Get()
  @DocumentGetIntake()
  get(@Query({ schema: GetIntake }) _query: GetIntake, @Req() request: FastifyRequest): Promise<Intake> {
    return this.operator.intake(traceOf(request));
  }

  @Post()
  @HttpCode(200)
  @DocumentSwitchIntake()
  async set(
    @Body({ schema: SwitchIntake }) body: SwitchIntake,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Intake> {
    const { commandId, ...sending } = prepare(request, reply, INTAKE.set);
    const answer = await this.operator.switchIntake({ commandId, body }, sending);
    if (answer.outcome === 'rejected') throw refused(answer.rejection);
    if (answer.replayed) reply.header('idempotency-replayed', 'true');
    return answer.intake;
  }
}
