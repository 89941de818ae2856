import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { NODE_OPTIONS } from '../processes.ts';
import type { Answer, ClosedLoad, OpenLoad } from './protocol.ts';

/** Longer than a load itself may take: connecting, answers that come late. */
const GRACE_SECONDS = 40;

/**
 * Runs a load in a process of its own and waits for its end, but not for ever.
 *
 * @param onMeasuring called when the warm-up is over.
 */
export function runLoad(
  kind: 'closed' | 'open',
  load: ClosedLoad | OpenLoad,
  onMeasuring: () => void = () => undefined,
): Promise<Answer> {
  const child = fork(fileURLToPath(new URL(`./${kind}.ts`, import.meta.url)), { execArgv: NODE_OPTIONS });
  const secondsMax = load.warmupSeconds + load.seconds + GRACE_SECONDS;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`A load did not end within ${secondsMax} s.`));
    }, secondsMax * 1_000);
    child.on('message', (message) => {
      if (message === 'measuring') return onMeasuring();
      clearTimeout(timer);
      resolve(message as Answer);
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`A load ended with ${code} and no result.`));
    });
    child.send(load);
  });
}

/** A request as bytes, for the open loop. */
export function request(method: 'GET' | 'POST', path: string, body?: string): string {
  const head = `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n`;
  if (body === undefined) return `${head}\r\n`;
  return `${head}content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
