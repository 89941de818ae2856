import type { z } from 'zod';

/** As many values as a caller reads in one line. */
const VALUES_MAX = 12;

const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
};
const FORMATS: Readonly<Record<string, string>> = {
  uuid: 'must be a UUID',
  datetime: 'must be a time with seconds and zone, such as 2026-01-01T00:00:00Z',
};
const UNITS: Readonly<Record<string, string>> = { string: ' characters', array: ' items' };

/**
 * What is wrong, to be read after the name of the place where it is: "must be at least 1".
 *
 * @param issue of a `safeParse` with `reportInput`.
 */
export function issueText(issue: z.core.$ZodIssue): string {
  if (issue.input === undefined && issue.code !== 'custom' && issue.code !== 'unrecognized_keys') return 'is required';
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${TYPES[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return `must ${UNITS[issue.origin] === undefined ? 'be' : 'have'} ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${UNITS[issue.origin] ?? ''}`;
    case 'too_big':
      return `must ${UNITS[issue.origin] === undefined ? 'be' : 'have'} ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${UNITS[issue.origin] ?? ''}`;
    case 'invalid_format':
      return FORMATS[issue.format] ?? issue.message;
    case 'invalid_value':
      if (issue.values.length > VALUES_MAX) return 'is not one of the values that it may have';
      return `must be ${issue.values.map(String).join(' or ')}`;
    case 'invalid_key':
      return `has a key that ${issue.issues[0] === undefined ? 'it may not have' : issueText(issue.issues[0])}`;
    default:
      return issue.message;
  }
}
