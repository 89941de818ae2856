// @ts-check
// Ctrl-C once: stop in order. Ctrl-C twice: stop at once.

/** npm passes a signal on that the terminal has delivered already: two within this time are one. */
const ECHO_MS = 500;

/**
 * Listens for SIGINT, SIGTERM and SIGHUP.
 *
 * @returns {{ stop: AbortSignal, urgent: AbortSignal }} `stop` after the first, `urgent` after the second
 */
export function onInterrupt() {
  const stop = new AbortController();
  const urgent = new AbortController();
  let firstMs = 0;
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      const nowMs = performance.now();
      if (!stop.signal.aborted) {
        firstMs = nowMs;
        stop.abort();
      } else if (nowMs - firstMs > ECHO_MS) urgent.abort();
    });
  }
  return { stop: stop.signal, urgent: urgent.signal };
}

/** @param {AbortSignal} signal @returns {Promise<void>} */
export function aborted(signal) {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
