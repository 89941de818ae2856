export const pause = (ms: number) => new Promise<void>((resume) => setTimeout(resume, ms));

/** Waits until a condition holds; what it throws counts as not yet. The error names what was waited for; the last failure is its cause. */
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
      const said = about?.() ?? '';
      throw new Error(`Waited ${timeoutMs} ms in vain until ${what}.${said && `\n${said}`}`, { cause: last });
    }
    await pause(everyMs);
  }
}
