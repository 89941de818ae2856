/** Until callers bring tokens, all of them are this one. */
const DEVELOPMENT_SUBJECT = 'development';

/** On whose behalf a request is made. The only place that answers this; never from the body of a request. */
export function subjectOf(_request: { headers: Readonly<Record<string, unknown>> }): string {
  return DEVELOPMENT_SUBJECT;
}
