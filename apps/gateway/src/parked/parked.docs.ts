import { ParkedDetails } from '@tandem/contracts/parked';
import { documented, problemExample } from '../docs.ts';
import { invalidRequest, ProblemError } from '../problem.ts';
import { ParkedPage, RedrivePage } from './parked-pages.ts';

const tag = 'admin';
const EXAMPLE_ID = 'orders-17';
const UNKNOWN_ID = 'orders-999999999999';
const WHEN = '2026-01-01T00:00:00.000Z';

const UNREADABLE = '{"pattern';
const UNKNOWN = '{"pattern":"order.eat","data":{}}';

const message = {
  id: EXAMPLE_ID,
  service: 'orders',
  broker: 'rabbitmq',
  source: 'orders.commands',
  reason: 'not JSON in UTF-8',
  parkedAt: WHEN,
  state: 'parked',
};
const details = {
  ...message,
  headers: { headers: {}, deliveryMode: 2, messageId: '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10' },
  content: { bytes: UNREADABLE.length, encoding: 'utf-8', text: UNREADABLE },
  acts: [],
};
const STILL_UNREADABLE = 'it still cannot be read: not JSON in UTF-8';
const refusal = (id = EXAMPLE_ID) => new ProblemError('redrive_refused', `${id} stays parked: ${STILL_UNREADABLE}`);
const malformedId = {
  malformedId: problemExample(
    'Malformed id',
    { id: '42' },
    invalidRequest([{ parameter: 'id', detail: 'must be the service and a number, such as analytics-17' }]),
  ),
};
const unknownId = {
  unknownMessage: problemExample(
    'Unknown message',
    { id: UNKNOWN_ID },
    new ProblemError('parked_not_found', `There is no parked message ${UNKNOWN_ID}`),
  ),
};
const dropped = {
  ...details,
  state: 'dropped',
  acts: [{ act: 'drop', outcome: 'done', by: 'development', reason: 'Rubbish', at: WHEN }],
};
const redriven = {
  ...details,
  reason: 'no handler for the event order.eat',
  content: { bytes: UNKNOWN.length, encoding: 'utf-8', text: UNKNOWN },
  state: 'redriven',
  acts: [{ act: 'redrive', outcome: 'done', by: 'development', reason: 'The reader was mended', at: WHEN }],
};
const drop = { operationId: 'dropParked', body: { reason: 'Rubbish' } };

export const DocumentListParked = () =>
  documented({
    id: 'listParked',
    tag,
    summary: 'List parked messages of RabbitMQ and Kafka',
    description:
      'Service by service, the newest of each first. Lists what is still parked unless `state` says otherwise. `source` filters by queue or topic, `order` by the order that a message names. A service that does not answer is named in `unanswered`, and the others are listed.',
    success: {
      status: 200,
      description: 'A page of parked messages',
      schema: ParkedPage,
      examples: {
        one: {
          summary: 'The newest message of orders',
          request: { parks: UNREADABLE, query: { service: 'orders', limit: '1' } },
          value: { data: [message], nextCursor: null, unanswered: [] },
        },
      },
    },
    problems: {
      invalid_request: {
        unknownState: problemExample(
          'Unknown state',
          { query: { state: 'lost' } },
          invalidRequest([{ parameter: 'state', detail: 'must be parked or redriven or dropped' }]),
        ),
      },
      no_answer: {},
    },
  });

export const DocumentShowParked = () =>
  documented({
    id: 'showParked',
    tag,
    summary: 'Read a parked message, its content and what was done with it',
    path: { example: EXAMPLE_ID, description: 'The parked message' },
    success: {
      status: 200,
      description: 'The message',
      schema: ParkedDetails,
      examples: {
        unreadable: { summary: 'A command that nobody can read', request: { parks: UNREADABLE }, value: details },
      },
    },
    problems: { invalid_request: malformedId, parked_not_found: unknownId, no_answer: {} },
  });

export const DocumentRedriveParked = () =>
  documented({
    id: 'redriveParked',
    tag,
    summary: 'Redrive a parked message',
    description:
      'A message of RabbitMQ goes back to its queue; nobody waits for its answer any more. An event of the log is counted together with the parked events of its order, in the order of the log. A message that still cannot be read stays parked, and the attempt is recorded.',
    path: { example: EXAMPLE_ID, description: 'The parked message' },
    body: { reason: { summary: 'Why', value: { reason: 'The reader was mended' } } },
    bodyRequired: false,
    success: {
      status: 200,
      description: 'The message, which is parked no longer',
      schema: ParkedDetails,
      examples: {
        unknownPattern: {
          summary: 'A message whose handler has been added since',
          request: { parks: UNKNOWN, body: { reason: 'The reader was mended' } },
          value: redriven,
        },
      },
    },
    problems: {
      invalid_request: malformedId,
      parked_not_found: unknownId,
      redrive_refused: {
        unreadable: problemExample(
          'Message still unreadable',
          { parks: UNREADABLE, body: { reason: 'Worth a try' } },
          refusal(),
        ),
      },
      parked_settled: {
        dropped: problemExample(
          'Message already dropped',
          { parks: UNREADABLE, before: [drop] },
          new ProblemError('parked_settled', `${EXAMPLE_ID} was dropped before`),
        ),
      },
      no_answer: {},
    },
  });

export const DocumentDropParked = () =>
  documented({
    id: 'dropParked',
    tag,
    summary: 'Drop a parked message, with a reason',
    description:
      'The work of a dropped command is never done. A dropped event is never counted: it is missing from every number of analytics until they are rebuilt by a reader that can read it. Events parked behind it can be redriven afterwards.',
    path: { example: EXAMPLE_ID, description: 'The parked message' },
    body: { reason: { summary: 'Why', value: { reason: 'Rubbish' } } },
    success: {
      status: 200,
      description: 'The message, which is parked no longer',
      schema: ParkedDetails,
      examples: {
        rubbish: {
          summary: 'A command that nobody can read',
          request: { parks: UNREADABLE, body: { reason: 'Rubbish' } },
          value: dropped,
        },
      },
    },
    problems: {
      invalid_request: {
        malformedId: { ...malformedId.malformedId, request: { id: '42', body: { reason: 'Rubbish' } } },
        noReason: problemExample(
          'Without a reason',
          { id: EXAMPLE_ID, body: {} },
          invalidRequest([{ pointer: '/reason', detail: 'is required' }]),
        ),
      },
      parked_not_found: {
        unknownMessage: { ...unknownId.unknownMessage, request: { id: UNKNOWN_ID, body: { reason: 'Rubbish' } } },
      },
      parked_settled: {},
      no_answer: {},
    },
  });

export const DocumentRedriveSome = () =>
  documented({
    id: 'redriveSomeParked',
    tag,
    summary: 'Redrive several parked messages, or all',
    description:
      'Takes `ids`, or a `filter` of which `{}` means everything that is parked. At most 100 messages at once; pass `nextCursor` to go on with the rest. Each message has its own outcome, `unanswered` where its service did not answer while others did.',
    body: {
      some: { summary: 'By id', value: { ids: [UNKNOWN_ID], reason: 'The reader was mended' } },
      oneOrder: {
        summary: 'All of one order',
        value: { filter: { service: 'analytics', order: '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10' } },
      },
    },
    success: {
      status: 200,
      description: 'The outcome of each',
      schema: RedrivePage,
      examples: {
        unknown: {
          summary: 'An unknown message',
          request: { body: { ids: [UNKNOWN_ID] } },
          value: { outcomes: [{ id: UNKNOWN_ID, outcome: 'not_found' }], nextCursor: null, unanswered: [] },
        },
      },
    },
    problems: {
      invalid_request: {
        neither: problemExample(
          'Neither ids nor a filter',
          { body: {} },
          invalidRequest([{ pointer: '/ids', detail: 'needs either ids or a filter, of which {} means all' }]),
        ),
      },
      no_answer: {},
    },
  });
