/**
 * Thrown by a batch handler that has moved its own offset, backwards or forwards: the server asks `startAt` again, at once,
 * and goes on from there. It is not a failure, and is not reported as one.
 */
export class RepositionError extends Error {
  override name = 'RepositionError';
}
