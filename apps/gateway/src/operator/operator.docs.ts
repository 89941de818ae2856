import { Intake } from '@tandem/contracts/intake';
import { documented, problemExample } from '../docs.ts';
import { keyHeader } from '../orders/orders.examples.ts';
import { invalidRequest, refused } from '../problem.ts';

const open = { paused: false, reason: 'The stock is counted', revision: 2, since: '2026-01-01T00:00:00.000Z' };
const resume = { paused: false, reason: 'The stock is counted' };

export const DocumentGetIntake = () =>
  documented({
    id: 'getIntake',
    tag: 'admin',
    summary: 'Whether new orders are taken',
    success: {
      status: 200,
      description: 'The switch as it is',
      schema: Intake,
      examples: {
        open: {
          summary: 'New orders are taken',
          request: { before: [{ operationId: 'switchIntake', body: resume }] },
          value: open,
        },
      },
    },
    problems: {
      invalid_request: {
        parameter: problemExample(
          'A parameter, where there are none',
          { query: { paused: 'true' } },
          invalidRequest([{ parameter: 'paused', detail: 'is not a parameter of this request' }]),
        ),
      },
      no_answer: {},
    },
  });

export const DocumentSwitchIntake = () =>
  documented({
    id: 'switchIntake',
    tag: 'admin',
    summary: 'Stop taking new orders, or take them again',
    description:
      'Answered when every gateway has been told. While `paused`, POST /v1/orders is answered 503 with Retry-After, everywhere; ' +
      'whatever else is asked goes on, and so do commands on orders that are there.',
    headers: keyHeader,
    body: { resume: { summary: 'Take them again', value: resume } },
    success: {
      status: 200,
      description: 'The switch as it is now',
      schema: Intake,
      headers: { 'Idempotency-Key': 'The key of the request, also one that was made here' },
      examples: { resumed: { summary: 'New orders are taken again', request: { body: resume }, value: open } },
    },
    problems: {
      invalid_request: {
        neither: problemExample(
          'Neither on nor off',
          { body: { paused: 'maybe' } },
          invalidRequest([{ pointer: '/paused', detail: 'must be true or false' }]),
        ),
      },
      key_reused: {
        reusedKey: problemExample(
          'The key of another request',
          {
            before: [{ operationId: 'switchIntake', headers: { 'Idempotency-Key': 'stock-1' }, body: resume }],
            headers: { 'Idempotency-Key': 'stock-1' },
            body: { paused: false },
          },
          refused({ code: 'key_reused' }),
        ),
      },
      outcome_unknown: {},
    },
  });
