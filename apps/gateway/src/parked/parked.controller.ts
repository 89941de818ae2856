import { Body, Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import {
  PARKED_AT_ONCE_MAX,
  PARKED_SERVICES,
  ParkedId,
  type ParkedDetails,
  type ParkedMessage,
  type ParkedService,
  type ParkedState,
} from '@tandem/contracts/parked';
import { NotTakenError } from '@tandem/transports/rabbitmq/errors';
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
import {
  Drop,
  ParkedParameters,
  Redrive,
  RedriveSome,
  type ParkedPage,
  type RedriveOutcome,
  type RedrivePage,
} from './parked-pages.ts';

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
    const page = await this.#page({ service, state, source, orderId: order, limit, before }, request);
    const { data, more, unanswered } = page;
    return { data, nextCursor: cursorOf(list, data, more), unanswered };
  }

  @Post('redrive')
  @HttpCode(200)
  @DocumentRedriveSome()
  async redriveSome(
    @Body({ schema: RedriveSome }) { ids, filter, limit, cursor, reason }: RedriveSome,
    @Req() request: FastifyRequest,
  ): Promise<RedrivePage> {
    if (ids !== undefined) return { ...(await this.#redrive(ids, reason, request)), nextCursor: null };
    const { service, source, order } = filter ?? {};
    const list = ['redrive', service, source, order];
    const which = { service, source, orderId: order, state: 'parked', limit: limit ?? PARKED_AT_ONCE_MAX } as const;
    const before = readCursor(list, cursor, ParkedId, { pointer: '/cursor' });
    const { data, more, unanswered } = await this.#page({ ...which, before }, request);
    const found = data.map(({ id }) => id);
    const redriven = await this.#redrive(found, reason, request);
    return {
      outcomes: redriven.outcomes,
      nextCursor: cursorOf(list, data, more),
      unanswered: [...new Set([...unanswered, ...redriven.unanswered])],
    };
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
    const { outcomes } = await this.#redrive([id], reason, request);
    requireSettled(outcomes[0], 'redriven');
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

  /**
   * Goes from service to service until the page is full. All are asked at once, so that one that hangs takes no longer than a
   * question may take, and is named.
   */
  async #page(
    { service, before, limit, ...filter }: Which,
    request: FastifyRequest,
  ): Promise<{ data: ParkedMessage[]; more: boolean; unanswered: ParkedService[] }> {
    const services = service === undefined ? [...PARKED_SERVICES] : [service];
    if (before !== undefined) services.splice(0, Math.max(0, services.indexOf(serviceOf(before))));
    const trace = traceOf(request);
    const replies = await settledSome(
      services.map((one, index) =>
        this.parked.list(one, { filter, limit, before: index === 0 ? before : undefined }, trace),
      ),
    );
    const data: ParkedMessage[] = [];
    const unanswered: ParkedService[] = [];
    let more = false;
    for (const [index, reply] of replies.entries()) {
      const room = limit - data.length;
      // Whatever comes after a full page, also of a service that did not answer now, is for the next one.
      if (room === 0) more ||= reply.status === 'rejected' || reply.value.parked.length > 0;
      else if (reply.status === 'rejected') unanswered.push(services[index] as ParkedService);
      else {
        data.push(...reply.value.parked.slice(0, room));
        more = reply.value.more || reply.value.parked.length > room;
      }
    }
    return { data, more, unanswered };
  }

  async #redrive(ids: readonly string[], reason: string | undefined, request: FastifyRequest): Promise<Redriven> {
    const own = [...Map.groupBy(ids, serviceOf)];
    const [by, trace] = [subjectOf(request), traceOf(request)];
    const replies = await settledSome(own.map(([one, ids]) => this.parked.redrive(one, { ids, by, reason }, trace)));
    const outcomes = new Map<string, RedriveOutcome>();
    const unanswered: ParkedService[] = [];
    for (const [index, reply] of replies.entries()) {
      const [service, asked] = own[index] as (typeof own)[number];
      if (reply.status === 'fulfilled') for (const outcome of reply.value.outcomes) outcomes.set(outcome.id, outcome);
      else {
        unanswered.push(service);
        const detail = unansweredDetail(reply.reason);
        for (const id of asked) outcomes.set(id, { id, outcome: 'unanswered', detail });
      }
    }
    return { outcomes: ids.map((id) => outcomes.get(id) ?? { id, outcome: 'not_found' }), unanswered };
  }
}

type Redriven = Pick<RedrivePage, 'outcomes' | 'unanswered'>;

/** How each ended. When all failed it throws what one of them did: that nothing was done only if it is so of all of them. */
async function settledSome<T>(work: readonly Promise<T>[]): Promise<PromiseSettledResult<T>[]> {
  const results = await Promise.allSettled(work);
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (reasons.length > 0 && reasons.length === results.length)
    throw reasons.find((reason) => !(reason instanceof NotTakenError)) ?? reasons[0];
  return results;
}

function unansweredDetail(reason: unknown): string {
  return reason instanceof NotTakenError
    ? `Nothing was done: ${reason.message}`
    : 'No answer came: it may have been redriven';
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
function requireSettled(outcome: RedriveOutcome | undefined, as: ParkedState): void {
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
    case 'unanswered':
    case undefined:
      throw new Error('The service said nothing of the message.');
  }
}

export const notParked = (id: string): ProblemError =>
  new ProblemError('parked_not_found', `There is no parked message ${id}`);
