import { Controller, type Type, UseFilters } from '@nestjs/common';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import {
  DropParked,
  ListParked,
  parkedPatterns,
  RedriveParked,
  ShowParked,
  type DropParkedReply,
  type ListParkedReply,
  type ParkedDetails,
  type ParkedOutcome,
  type ParkedService,
  type RedriveParkedReply,
  type ShowParkedReply,
} from '@tandem/contracts/parked';
import { DatabaseFailureFilter } from './database-failure.filter.ts';

/** What a service has parked: rows of one table, or of several under one numbering. */
export abstract class Parked {
  abstract list(query: ListParked): Promise<ListParkedReply>;
  abstract show(id: string): Promise<ParkedDetails | null>;
  /** Oldest first. An outage throws: what was redriven before it stays redriven, and is recorded. */
  abstract redrive(query: RedriveParked): Promise<ParkedOutcome[]>;
  abstract drop(query: DropParked): Promise<ParkedOutcome>;
}

/** The controller that answers for the parked messages of a service; `Parked` is to be provided. */
export function parkedController(service: ParkedService): Type {
  const patterns = parkedPatterns(service);

  @Controller()
  @UseFilters(new DatabaseFailureFilter('reads'))
  class ParkedController {
    constructor(private readonly parked: Parked) {}

    @MessagePattern(patterns.list, Transport.RMQ)
    list(@Payload({ schema: ListParked }) query: ListParked): Promise<ListParkedReply> {
      return this.parked.list(query);
    }

    @MessagePattern(patterns.show, Transport.RMQ)
    async show(@Payload({ schema: ShowParked }) { id }: ShowParked): Promise<ShowParkedReply> {
      return { parked: await this.parked.show(id) };
    }

    @MessagePattern(patterns.redrive, Transport.RMQ)
    @UseFilters(new DatabaseFailureFilter('changes'))
    async redrive(@Payload({ schema: RedriveParked }) query: RedriveParked): Promise<RedriveParkedReply> {
      return { outcomes: await this.parked.redrive(query) };
    }

    @MessagePattern(patterns.drop, Transport.RMQ)
    @UseFilters(new DatabaseFailureFilter('changes'))
    async drop(@Payload({ schema: DropParked }) query: DropParked): Promise<DropParkedReply> {
      return { outcome: await this.parked.drop(query) };
    }
  }
  return ParkedController;
}
