import { Controller, Logger, UseFilters } from '@nestjs/common';
import { EventPattern, Payload, Transport } from '@nestjs/microservices';
import { LogCheckpoint } from '@tandem/contracts/event-record';
import { readIgnoringUnknown } from '@tandem/contracts/later-versions';
import { ORDER_CHECKPOINTS } from '@tandem/contracts/topology';
import { BatchFailureFilter } from '@tandem/transports/kafka/batch-failure.filter';
import type { KafkaBatch, KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import { Progress } from './progress.ts';

@Controller()
@UseFilters(new BatchFailureFilter())
export class CheckpointsController {
  readonly #logger = new Logger(CheckpointsController.name);

  constructor(private readonly progress: Progress) {}

  @EventPattern(ORDER_CHECKPOINTS, Transport.KAFKA)
  read(@Payload() { records }: KafkaBatch): void {
    for (const record of records) {
      const checkpoint = checkpointOf(record);
      if (checkpoint !== undefined) this.progress.add(checkpoint);
      else this.#logger.warn(`The record at offset ${record.offset} is no checkpoint and is left out.`);
    }
  }
}

export function checkpointOf({ value }: KafkaRecord): LogCheckpoint | undefined {
  try {
    return readIgnoringUnknown(LogCheckpoint, JSON.parse(value?.toString() ?? 'null')).data;
  } catch {
    return undefined;
  }
}
