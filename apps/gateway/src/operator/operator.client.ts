import { Injectable } from '@nestjs/common';
import type { Intake, SwitchIntakeMessage, SwitchIntakeReply } from '@tandem/contracts/intake';
import { INTAKE } from '@tandem/contracts/topology';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ask } from '../ask.ts';
import { command, type Sending } from '../command.ts';
import { newTrace } from '../trace.ts';

/** The operator's switch, which orders keeps, over RabbitMQ, on a queue that nothing else fills. */
@Injectable()
export class OperatorClient {
  constructor(private readonly control: RabbitMqClient) {}

  intake(trace = newTrace()): Promise<Intake> {
    return ask(this.control, INTAKE.get, {}, trace);
  }

  switchIntake(message: SwitchIntakeMessage, sending: Sending): Promise<SwitchIntakeReply> {
    return command(this.control, INTAKE.set, message, sending);
  }
}
