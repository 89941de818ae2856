import { ProjectionList, ProjectionStatus, type Rebuild } from '@tandem/contracts/projections';
import { documented, problemExample } from '../docs.ts';
import { invalidRequest, ProblemError } from '../problem.ts';

const tag = 'admin';
const EXAMPLE_NAME = 'order-counts';
const UNKNOWN_NAME = 'order-miscounts';

export const EXAMPLE_PROJECTION: ProjectionStatus = {
  name: EXAMPLE_NAME,
  version: 1,
  codeVersion: 1,
  stale: false,
  rebuild: {
    id: '0197c6f0-5b7a-4cc3-9a51-3f1f6f3c2b10',
    version: 1,
    state: 'waiting',
    acceptDifferences: false,
    requestedAt: '2026-01-01T00:00:00.000Z',
    finishedAt: null,
    read: 0,
    total: 0,
    remainingMs: null,
    reason: null,
    differences: [],
  },
};

export const projectionNotFound = (name: string): ProblemError =>
  new ProblemError('projection_not_found', `There is no projection ${name}`);

export const DocumentListProjections = () =>
  documented({
    id: 'listProjections',
    tag,
    summary: 'What is counted, by which version of its code, and its latest rebuild',
    success: {
      status: 200,
      description: 'All of them, in the order in which they are counted',
      schema: ProjectionList,
      examples: {
        rebuilding: {
          summary: 'One that is being rebuilt',
          request: { before: [{ operationId: 'rebuildProjection', id: EXAMPLE_NAME }] },
          value: { data: [EXAMPLE_PROJECTION] },
        },
      },
    },
    problems: {
      invalid_request: {
        unknownParameter: problemExample(
          'A parameter that there is not',
          { query: { name: EXAMPLE_NAME } },
          invalidRequest([{ parameter: 'name', detail: 'is not a parameter of this request' }]),
        ),
      },
      no_answer: {},
    },
  });

export const DocumentRebuild = () =>
  documented({
    id: 'rebuildProjection',
    tag,
    summary: 'Counts it again from the beginning of the log',
    description:
      'Beside the live copy, which goes on counting and answering. When both stand at the same offsets, counts and sums are ' +
      'compared, and quantiles within the error of their sketches; then the new copy takes the place of the live one, in one ' +
      'transaction. A copy that differs from the live one of the same version is thrown away and the rebuild has failed, ' +
      'unless `acceptDifferences` says otherwise. While a rebuild is under way it is the answer. A crash costs a batch. ' +
      'A Kafka that is away and locks that others hold are waited for, and `reason` says so. Once the copy of a newer ' +
      'version is in place, instances of older ones stop counting.',
    path: { name: 'name', example: EXAMPLE_NAME, description: 'The projection' },
    body: { asUsual: { summary: 'As usual', value: {} } },
    bodyRequired: false,
    success: {
      status: 202,
      description: 'It is under way',
      schema: ProjectionStatus,
      examples: {
        accepted: { summary: 'A rebuild that was asked for', request: { id: EXAMPLE_NAME }, value: EXAMPLE_PROJECTION },
      },
    },
    problems: {
      invalid_request: {
        malformedName: problemExample(
          'A name that is none',
          { id: 'Order_Counts' },
          invalidRequest([{ parameter: 'name', detail: 'takes small letters, digits and -' }]),
        ),
      },
      projection_not_found: {
        unknownProjection: problemExample(
          'A name of no projection',
          { id: UNKNOWN_NAME },
          projectionNotFound(UNKNOWN_NAME),
        ),
      },
      log_truncated: {},
      no_answer: {},
    },
  });

export const DocumentCancelRebuild = () =>
  documented({
    id: 'cancelRebuild',
    tag,
    summary: 'Cancels a rebuild that waits or is under way',
    description:
      'What it has read is thrown away; the live copy stays as it is. A rebuild that has ended, or was never asked for, ' +
      'stays as it is, too: the answer says what it has come to.',
    path: { name: 'name', example: EXAMPLE_NAME, description: 'The projection' },
    success: {
      status: 200,
      description: 'None is under way',
      schema: ProjectionStatus,
      examples: {
        cancelled: {
          summary: 'A rebuild that was cancelled',
          request: { before: [{ operationId: 'rebuildProjection', id: EXAMPLE_NAME }], id: EXAMPLE_NAME },
          value: {
            ...EXAMPLE_PROJECTION,
            rebuild: {
              ...(EXAMPLE_PROJECTION.rebuild as Rebuild),
              state: 'cancelled',
              finishedAt: '2026-01-01T00:00:01.000Z',
            },
          },
        },
      },
    },
    problems: {
      invalid_request: {
        malformedName: problemExample(
          'A name that is none',
          { id: 'Order_Counts' },
          invalidRequest([{ parameter: 'name', detail: 'takes small letters, digits and -' }]),
        ),
      },
      projection_not_found: {
        unknownProjection: problemExample(
          'A name of no projection',
          { id: UNKNOWN_NAME },
          projectionNotFound(UNKNOWN_NAME),
        ),
      },
      no_answer: {},
    },
  });
