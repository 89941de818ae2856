import { Injectable } from '@nestjs/common';
import {
  parkedPatterns,
  type DropParked,
  type DropParkedReply,
  type ListParked,
  type ListParkedReply,
  type ParkedService,
  type RedriveParked,
  type RedriveParkedReply,
  type ShowParkedReply,
} from '@tandem/contracts/parked';
import type { RabbitMqClient } from '@tandem/transports/rabbitmq/rabbitmq-client';
import { ask } from '../ask.ts';
import type { Trace } from '../trace.ts';

/** What each service has parked, over its queue of queries. Whatever is asked may be asked again. */
@Injectable()
export class ParkedClient {
  constructor(private readonly clients: Readonly<Record<ParkedService, RabbitMqClient>>) {}

  list(service: ParkedService, query: ListParked, trace: Trace): Promise<ListParkedReply> {
    return ask(this.clients[service], parkedPatterns(service).list, query, trace);
  }

  show(id: string, trace: Trace): Promise<ShowParkedReply> {
    const service = serviceOf(id);
    return ask(this.clients[service], parkedPatterns(service).show, { id }, trace);
  }

  redrive(service: ParkedService, query: RedriveParked, trace: Trace): Promise<RedriveParkedReply> {
    return ask(this.clients[service], parkedPatterns(service).redrive, query, trace);
  }

  drop(query: DropParked, trace: Trace): Promise<DropParkedReply> {
    const service = serviceOf(query.id);
    return ask(this.clients[service], parkedPatterns(service).drop, query, trace);
  }
}

/** The service that an id belongs to, which its schema has checked. */
export const serviceOf = (id: string): ParkedService => id.slice(0, id.lastIndexOf('-')) as ParkedService;
