import { Controller, UseFilters } from '@nestjs/common';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { GetIntake, SwitchIntakeMessage, type Intake, type SwitchIntakeReply } from '@tandem/contracts/intake';
import { INTAKE } from '@tandem/contracts/topology';
import { DatabaseFailureFilter } from '@tandem/transports/rabbitmq/database-failure.filter';
import { IntakeSwitch } from './intake-switch.ts';

@Controller()
@UseFilters(new DatabaseFailureFilter('reads'))
export class OperatorController {
  constructor(private readonly intake: IntakeSwitch) {}

  @MessagePattern(INTAKE.get, Transport.RMQ)
  get(@Payload({ schema: GetIntake }) _query: GetIntake): Promise<Intake> {
    return this.intake.get();
  }

  @MessagePattern(INTAKE.set, Transport.RMQ)
  @UseFilters(new DatabaseFailureFilter('changes'))
  set(@Payload({ schema: SwitchIntakeMessage }) message: SwitchIntakeMessage): Promise<SwitchIntakeReply> {
    return this.intake.set(message);
  }
}
