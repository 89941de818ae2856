import { Controller, UseFilters } from '@nestjs/common';
import { EventPattern, Payload, Transport } from '@nestjs/microservices';
import { ORDER_EVENTS } from '@tandem/contracts/topology';
import { BatchFailureFilter } from '@tandem/transports/kafka/batch-failure.filter';
import type { KafkaBatch } from '@tandem/transports/kafka/kafka-batch';
import { EventCounter } from './event-counter.ts';

@Controller()
@UseFilters(new BatchFailureFilter())
export class OrderEventsController {
  constructor(private readonly counter: EventCounter) {}

  @EventPattern(ORDER_EVENTS, Transport.KAFKA)
  count(@Payload() batch: KafkaBatch): Promise<void> {
    return this.counter.count(batch);
  }
}
