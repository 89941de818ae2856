import { Controller } from '@nestjs/common';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { GetIntake, SwitchIntakeMessage, type Intake, type SwitchIntakeReply } from '@tandem/contracts/intake';
import { INTAKE } from '@tandem/contracts/topology';
import { IntakeSwitch } from './intake-switch.ts';

@Controller()
export class OperatorController {
  constructor(private readonly intake: IntakeSwitch) {}

  @MessagePattern(INTAKE.get, Transport.RMQ)
  get(@Payload({ schema: GetIntake }) _query: GetIntake): Promise<Intake> {
    return this.intake.get();
  }

  @MessagePattern(INTAKE.set, Transport.RMQ)
  set(@Payload({ schema: SwitchIntakeMessage }) message: SwitchIntakeMessage): Promise<SwitchIntakeReply> {
    return this.intake.set(message);
  }
}
