import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import {
  PARKED_AT_ONCE_MAX,
  PARKED_SERVICES,
  ParkedId,
  type ParkedDetails,
  type ParkedMessage,
  type ParkedOutcome,
  type ParkedService,
  type ParkedState,
} from '@tandem/contracts/parked';
import type { FastifyRequest } from 'fastify';
import { readCursor, writeCursor } from '../orders/cursor.ts';
import { ProblemError } from '../problem.ts';
import { subjectOf } from '../subject.ts';
import { traceOf } from '../trace.ts';
import { ParkedClient, serviceOf } from './parked.client.ts';
import {
  DocumentDropParked,
  DocumentListParked,
  DocumentRedriveParked,
  DocumentRedriveSome,
  DocumentShowParked,
} from './parked.docs.ts';
import { Drop, ParkedParameters, Redrive, RedriveSome, type ParkedPage, type RedrivePage } from './parked-pages.ts';

@Controller('v1/admin/parked')
export class ParkedController {
  constructor(private readonly parked: ParkedClient) {}

  @Get()
  @DocumentListParked()
  async list(
    @Query({ schema: ParkedParameters }) { service, state, source, order, limit, cursor }: ParkedParameters,
    @Req() request: FastifyRequest,
  ): Promise<ParkedPage> {
    const list = ['parked', service, state, source, order];
    const before = readCursor(list, cursor, ParkedId);
    const { data, more } = await this.#page({ service, state, source, orderId: order, limit, before }, request);
    return { data, nextCursor: cursorOf(list, data, more) };
  }

  @Post('redrive')
  @HttpCode(200)
  @DocumentRedriveSome()
  async redriveSome(
    @Body({ schema: RedriveSome }) { ids, filter, limit, cursor, reason }: RedriveSome,
    @Req() request: FastifyRequest,
  ): Promise<RedrivePage> {
    if (ids !== undefined) return { outcomes: await this.#redrive(ids, reason, request), nextCursor: null };
    const { service, source, order } = filter ?? {};
    const list = ['redrive', service, source, order];
    const which = { service, source, orderId: order, state: 'parked', limit: limit ?? PARKED_AT_ONCE_MAX } as const;
    const before = readCursor(list, cursor, ParkedId, { pointer: '/cursor' });
    const { data, more } = await this.#page({ ...which, before }, request);
    const found = data.map(({ id }) => id);
    return { outcomes: await this.#redrive(found, reason, request), nextCursor: cursorOf(list, data, more) };
  }

  @Get(':id')
  @DocumentShowParked()
  async show(@Param('id', { schema: ParkedId }) id: string, @Req() request: FastifyRequest): Promise<ParkedDetails> {
    const { parked } = await this.parked.show(id, traceOf(request));
    if (parked === null) throw notParked(id);
    return parked;
  }

  @Post(':id/redrive')
  @HttpCode(200)
  @DocumentRedriveParked()
  async redrive(
    @Param('id', { schema: ParkedId }) id: string,
    @Body({ schema: Redrive }) { reason }: Redrive,
    @Req() request: FastifyRequest,
  ): Promise<ParkedDetails> {
    const [outcome] = await this.#redrive([id], reason, request);
    requireSettled(outcome, 'redriven');
    return this.show(id, request);
  }

  @Post(':id/drop')
  @HttpCode(200)
  @DocumentDropParked()
  async drop(
    @Param('id', { schema: ParkedId }) id: string,
    @Body({ schema: Drop }) { reason }: Drop,
    @Req() request: FastifyRequest,
  ): Promise<ParkedDetails> {
    const { outcome } = await this.parked.drop({ id, by: subjectOf(request), reason }, traceOf(request));
    requireSettled(outcome, 'dropped');
    return this.show(id, request);
  }

  /** Goes from service to service until the page is full. */
  async #page(
    { service, before, limit, ...filter }: Which,
    request: FastifyRequest,
  ): Promise<{ data: ParkedMessage[]; more: boolean }> {
    const services = service === undefined ? [...PARKED_SERVICES] : [service];
    if (before !== undefined) services.splice(0, Math.max(0, services.indexOf(serviceOf(before))));
    const data: ParkedMessage[] = [];
    for (const [index, next] of services.entries()) {
      const query = { filter, limit: limit - data.length, before: index === 0 ? before : undefined };
      const { parked, more } = await this.parked.list(next, query, traceOf(request));
      data.push(...parked);
      // Of those that were not asked it is not known: the next page may be empty.
      if (more || data.length === limit) return { data, more: more || index < services.length - 1 };
    }
    return { data, more: false };
  }

  async #redrive(
    ids: readonly string[],
    reason: string | undefined,
    request: FastifyRequest,
  ): Promise<ParkedOutcome[]> {
    const outcomes = new Map<string, ParkedOutcome>();
    for (const [service, own] of Map.groupBy(ids, serviceOf)) {
      const query = { ids: own, by: subjectOf(request), reason };
      const reply = await this.parked.redrive(service, query, traceOf(request));
      for (const outcome of reply.outcomes) outcomes.set(outcome.id, outcome);
    }
    return ids.map((id) => outcomes.get(id) ?? { id, outcome: 'not_found' });
  }
}

interface Which {
  service: ParkedService | undefined;
  state: ParkedState | undefined;
  source: string | undefined;
  orderId: string | undefined;
  limit: number;
  before: string | undefined;
}

function cursorOf(list: readonly unknown[], data: readonly ParkedMessage[], more: boolean): string | null {
  const last = data.at(-1);
  return more && last !== undefined ? writeCursor(list, last.id) : null;
}

/** What was done before, and the same, is as good as done now: so it can be repeated. */
function requireSettled(outcome: ParkedOutcome | undefined, as: ParkedState): void {
  switch (outcome?.outcome) {
    case 'done':
      return;
    case 'refused':
      throw new ProblemError('redrive_refused', `${outcome.id} stays parked: ${outcome.detail}`);
    case 'settled':
      if (outcome.state === as) return;
      throw new ProblemError('parked_settled', `${outcome.id} was ${outcome.state} before`);
    case 'not_found':
      throw notParked(outcome.id);
    case undefined:
      throw new Error('The service said nothing of the message.');
  }
}

export const notParked = (id: string): ProblemError =>
  new ProblemError('parked_not_found', `There is no parked message ${id}`);
