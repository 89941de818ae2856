/**
 * Thrown by a batch handler that must not go on: its member leaves the group, so that others get its partitions, and joins again
 * once `whyNotJoin` says nothing more.
 */
export class LeaveGroupError extends Error {
  override name = 'LeaveGroupError';
}
