export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** The beginning of the stretch of time that a moment lies in, in UTC, in milliseconds since 1970. */
export const startMs = (at: Date, lengthMs: number): number => Math.floor(at.getTime() / lengthMs) * lengthMs;

export const isoOf = (ms: number): string => new Date(ms).toISOString();
