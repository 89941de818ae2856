// An open loop, as a process of its own: requests fall due at a set rate whether or not the answers keep up, and latency
// counts from the moment a request was due, so a system that stalls cannot hide it (coordinated omission).
import { connect, type Socket } from 'node:net';
import { Latencies } from './latencies.ts';
import { answer, type LoadResult, type OpenLoad } from './protocol.ts';

interface Connection {
  socket: Socket;
  /** When its request was due, while it waits for the answer. */
  dueAt: number;
  received: string;
  /** Whether its request belongs to the measured part. */
  counts: boolean;
}

await answer(async (load: OpenLoad, measuring): Promise<LoadResult> => {
  const [accepted, refused] = [new Latencies(), new Latencies()];
  const statuses: Record<string, number> = {};
  const idle: Connection[] = [];
  let [errors, waiting, turn] = [0, 0, 0];
  const due: number[] = [];
  let dueHead = 0;
  const requests = load.requests.map((request) => Buffer.from(request));
  let measuredFrom = Infinity;

  const send = (connection: Connection, dueAt: number) => {
    connection.dueAt = dueAt;
    connection.counts = dueAt >= measuredFrom;
    waiting += 1;
    connection.socket.write(requests[turn++ % requests.length] as Buffer);
  };
  const next = (connection: Connection) => {
    const dueAt = due[dueHead];
    if (dueAt === undefined) return void idle.push(connection);
    dueHead += 1;
    send(connection, dueAt);
  };
  const receive = (connection: Connection, part: string) => {
    connection.received += part;
    const status = complete(connection.received);
    if (status === undefined) return;
    connection.received = '';
    waiting -= 1;
    if (connection.counts) {
      statuses[status] = (statuses[status] ?? 0) + 1;
      const tookMs = performance.now() - connection.dueAt;
      if (status < 300) accepted.add(tookMs);
      else if (status === 503) refused.add(tookMs);
    }
    next(connection);
  };
  const open = () =>
    new Promise<Connection>((resolve, reject) => {
      const socket = connect({ host: load.host, port: load.port, noDelay: true });
      const connection: Connection = { socket, dueAt: 0, received: '', counts: false };
      socket.setEncoding('latin1');
      socket.on('data', (part: string) => receive(connection, part));
      socket.on('error', (error) => {
        errors += 1;
        reject(error);
      });
      socket.on('connect', () => resolve(connection));
    });
  for (let opened = 0; opened < load.connections; opened += 100)
    idle.push(...(await Promise.all(Array.from({ length: Math.min(100, load.connections - opened) }, open))));

  const startedAt = performance.now();
  const endsAt = startedAt + 1_000 * (load.warmupSeconds + load.seconds);
  measuredFrom = startedAt + 1_000 * load.warmupSeconds;
  let scheduled = 0;
  let told = false;
  await new Promise<void>((done) => {
    const tick = () => {
      const now = performance.now();
      if (!told && now >= measuredFrom) {
        told = true;
        measuring();
      }
      const until = Math.min(now, endsAt);
      for (; startedAt + (1_000 * scheduled) / load.rate <= until; scheduled += 1) {
        const dueAt = startedAt + (1_000 * scheduled) / load.rate;
        const connection = idle.pop();
        if (connection === undefined) due.push(dueAt);
        else send(connection, dueAt);
      }
      if (now < endsAt) setTimeout(tick, 1);
      else done();
    };
    tick();
  });
  const late = due.length - dueHead;
  dueHead = due.length;
  for (const endBy = performance.now() + 15_000; waiting > 0 && performance.now() < endBy;)
    await new Promise((resume) => setTimeout(resume, 20));
  errors += waiting;
  return {
    seconds: load.seconds,
    statuses,
    errors,
    late,
    accepted: accepted.summary(),
    refused: refused.summary(),
  };
});

/** The status of a whole answer, undefined while there is more to come. Every answer here has a Content-Length. */
function complete(received: string): number | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(received.slice(0, end));
  if (length === null) throw new Error(`An answer without a length: ${received.slice(0, 200)}`);
  return received.length >= end + 4 + Number(length[1]) ? Number(received.slice(9, 12)) : undefined;
}
