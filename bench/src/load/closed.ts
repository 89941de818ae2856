// A closed loop, as a process of its own: each connection sends its next request when it has the answer to the last.
import autocannon from 'autocannon';
import { Latencies } from './latencies.ts';
import { answer, type ClosedLoad, type LoadResult } from './protocol.ts';

await answer(async (load: ClosedLoad, measuring): Promise<LoadResult> => {
  const options = {
    url: load.url,
    method: 'POST' as const,
    headers: { 'content-type': 'application/json' },
    body: load.body,
    connections: load.connections,
    timeout: 15,
  };
  await autocannon({ ...options, duration: load.warmupSeconds });
  measuring();
  const latencies = new Latencies();
  const statuses: Record<string, number> = {};
  const startedAt = performance.now();
  const running = autocannon({ ...options, duration: load.seconds });
  running.on('response', (_client, status, _bytes, ms) => {
    statuses[status] = (statuses[status] ?? 0) + 1;
    if (status < 300) latencies.add(ms);
  });
  const { errors } = await running;
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, statuses, errors, late: 0, refused: undefined, accepted: latencies.summary() };
});
