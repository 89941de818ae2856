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
    summary: 'Read whether new orders are taken',
    success: {
      status: 200,
      description: 'The current state',
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
          'Unknown parameter',
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
    summary: 'Pause or resume new orders',
    description:
      'The answer comes when every connected gateway knows. While `paused`, every gateway answers `POST /v1/orders` with 503 and ' +
      '`Retry-After`; everything else works, commands on existing orders included.',
    headers: keyHeader,
    body: { resume: { summary: 'Resume', value: resume } },
    success: {
      status: 200,
      description: 'The new state',
      schema: Intake,
      headers: { 'Idempotency-Key': 'The key of the request, or the generated one' },
      examples: { resumed: { summary: 'New orders are taken again', request: { body: resume }, value: open } },
    },
    problems: {
      invalid_request: {
        neither: problemExample(
          '`paused` is missing',
          { body: { paused: 'maybe' } },
          invalidRequest([{ pointer: '/paused', detail: 'must be true or false' }]),
        ),
      },
      key_reused: {
        reusedKey: problemExample(
          'Key of another request',
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
