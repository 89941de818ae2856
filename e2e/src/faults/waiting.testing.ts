export const pause = (ms: number) => new Promise<void>((resume) => setTimeout(resume, ms));

/** Waits until a condition holds; what it throws counts as not yet. The error names what was waited for. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { timeoutMs = 60_000, everyMs = 50, about }: { timeoutMs?: number; everyMs?: number; about?: () => string } = {},
): Promise<void> {
  const late = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > late) {
      const why = [last === undefined ? '' : `Last error: ${String(last)}`, about?.() ?? ''].filter(Boolean).join('\n');
      throw new Error(`Waited ${timeoutMs} ms in vain until ${what}.\n${why}`);
    }
    await pause(everyMs);
  }
}
