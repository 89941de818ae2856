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

/** How a request that names a projection may be wrong. */
const problemsOfName = {
  invalid_request: {
    malformedName: problemExample(
      'Malformed name',
      { id: 'Order_Counts' },
      invalidRequest([{ parameter: 'name', detail: 'takes small letters, digits and -' }]),
    ),
  },
  projection_not_found: {
    unknownProjection: problemExample('Unknown projection', { id: UNKNOWN_NAME }, projectionNotFound(UNKNOWN_NAME)),
  },
};

export const DocumentListProjections = () =>
  documented({
    id: 'listProjections',
    tag,
    summary: 'List projections, their versions and their latest rebuilds',
    success: {
      status: 200,
      description: 'All projections, in the order in which they are counted',
      schema: ProjectionList,
      examples: {
        rebuilding: {
          summary: 'A projection that is being rebuilt',
          request: { before: [{ operationId: 'rebuildProjection', id: EXAMPLE_NAME }] },
          value: { data: [EXAMPLE_PROJECTION] },
        },
      },
    },
    problems: {
      invalid_request: {
        unknownParameter: problemExample(
          'Unknown parameter',
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
    summary: 'Rebuild a projection from the beginning of the log',
    description:
      'The rebuild fills a copy beside the live one, which keeps counting and answering. When both have read the same offsets, counts and sums are compared, and quantiles within the error of their sketches; then the copy replaces the live one in one transaction. If a copy of the same version differs, the rebuild fails and the copy is thrown away, unless `acceptDifferences` is set. While a rebuild runs, asking again returns it. After a crash another instance continues. The rebuild waits while Kafka is away or others hold locks, and `reason` says so. Once the copy of a newer version is in place, instances of older versions stop counting.',
    path: { name: 'name', example: EXAMPLE_NAME, description: 'The projection' },
    body: { asUsual: { summary: 'Without options', value: {} } },
    bodyRequired: false,
    success: {
      status: 202,
      description: 'The rebuild runs',
      schema: ProjectionStatus,
      examples: {
        accepted: { summary: 'A requested rebuild', request: { id: EXAMPLE_NAME }, value: EXAMPLE_PROJECTION },
      },
    },
    problems: {
      ...problemsOfName,
      log_truncated: {},
      no_answer: {},
    },
  });

export const DocumentCancelRebuild = () =>
  documented({
    id: 'cancelRebuild',
    tag,
    summary: 'Cancel a rebuild that waits or runs',
    description:
      'The copy is thrown away; the live one stays as it is. A rebuild that has ended, or was never requested, stays as it is, too: the answer shows its state.',
    path: { name: 'name', example: EXAMPLE_NAME, description: 'The projection' },
    success: {
      status: 200,
      description: 'No rebuild runs',
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
      ...problemsOfName,
      no_answer: {},
    },
  });
