import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { KafkaBatch } from './kafka-batch.ts';
import { brokers, eventually, freePort, Gate, Offsets, TestTopic } from './kafka.testing.ts';
import { RepositionError } from './reposition-error.ts';

let topic: TestTopic;
const made: { remove(): Promise<void> }[] = [];

async function topicOf(partitions: number): Promise<TestTopic> {
  topic = await TestTopic.create(partitions);
  made.push(topic);
  return topic;
}
afterEach(async () => {
  for (const thing of made.splice(0)) await thing.remove();
});

const upTo = (end: number) => Array.from({ length: end }, (_, value) => String(value));

describe('batches', () => {
  it('come from the offset that the handler gives, all of them, each once', async () => {
    await topicOf(2);
    await topic.send(0, 0, 3_000);
    await topic.send(1, 0, 50);
    const offsets = new Offsets();
    offsets.move(1, 20n);
    await topic.serve(offsets.take, offsets.startAt, { partitionBytesMax: 20_000 });
    await topic.send(0, 3_000, 3_100);
    await eventually(() => {
      expect(offsets.values.get(0)).toEqual(upTo(3_100));
      expect(offsets.values.get(1)).toEqual(upTo(50).slice(20));
    });
  });

  it('carry keys, headers as text and times', async () => {
    await topicOf(1);
    const offsets = new Offsets();
    const batches: KafkaBatch[] = [];
    await topic.serve((batch) => void batches.push(batch), offsets.startAt);
    await topic.send(0, 7, 8);
    await eventually(() => expect(batches).toHaveLength(1));
    expect(batches[0]).toMatchObject({ topic: topic.name, partition: 0, firstOffset: 0n, nextOffset: 1n });
    expect(batches[0]?.highWatermark).toBe(1n);
    const [record] = batches[0]?.records ?? [];
    expect(record).toMatchObject({ offset: 0n, key: 'k', value: Buffer.from('7'), headers: {} });
    expect(Math.abs((record?.timestamp.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it('follow each other without a hole over the markers of transactions, committed or not', async () => {
    await topicOf(1);
    const offsets = new Offsets();
    const server = await topic.serve(offsets.take, offsets.startAt);
    await eventually(() => expect(server.state.partitions[0]?.nextOffset).toBe(0n));
    let sent = 0n;
    for (const end of ['commit', 'abort', 'commit'] as const) {
      await topic.transact(0, [end], end);
      sent += 2n;
      // The handler learns of the marker, which may come alone, and of the record that was aborted.
      await eventually(() => expect(offsets.next(0)).toBe(sent));
      expect(server.state.partitions).toMatchObject([{ nextOffset: sent, lag: 0n }]);
    }
    await topic.send(0, 0, 2);
    await eventually(() => expect(offsets.values.get(0)).toEqual(['commit', 'commit', '0', '1']));
    expect(server.state.partitions).toMatchObject([{ nextOffset: 8n, lag: 0n, stalled: undefined }]);
  });

  it('end where a transaction is open, which the state tells, and go on when it has ended', async () => {
    await topicOf(1);
    const offsets = new Offsets();
    const server = await topic.serve(offsets.take, offsets.startAt);
    const open = await topic.begin(0, ['open']);
    await topic.send(0, 0, 2);
    await eventually(() => expect(server.state.partitions).toMatchObject([{ lag: 0n, held: { records: 3n } }]));
    expect(offsets.values.get(0) ?? []).toEqual([]);
    await open('abort');
    await eventually(() => expect(offsets.values.get(0)).toEqual(['0', '1']));
    await eventually(() =>
      expect(server.state.partitions).toMatchObject([{ nextOffset: 4n, lag: 0n, held: undefined }]),
    );
  });
});

describe('a handler that throws', () => {
  it('gets its batch again after a pause, says why in the state, and holds back no other partition', async () => {
    await topicOf(3);
    const offsets = new Offsets();
    let broken = true;
    const handler = (batch: KafkaBatch) => {
      if (broken && batch.partition === 1) throw new Error('out of order');
      offsets.take(batch);
    };
    const server = await topic.serve(handler, offsets.startAt);
    for (const partition of [0, 1, 2]) await topic.send(partition, 0, 10);
    await eventually(() => {
      expect(offsets.values.get(0)).toHaveLength(10);
      expect(offsets.values.get(2)).toHaveLength(10);
      expect(server.state.partitions.find(({ partition }) => partition === 1)).toMatchObject({
        stalled: 'out of order',
      });
    });
    await topic.send(0, 10, 20);
    await eventually(() => expect(offsets.values.get(0)).toHaveLength(20));
    expect(server.state).toMatchObject({ joined: true });
    broken = false;
    await eventually(() => expect(offsets.values.get(1)).toEqual(upTo(10)));
    expect(server.state.partitions.every(({ stalled }) => stalled === undefined)).toBe(true);
  });

  it('a RepositionError is asked at once where to go on, which is no failure', async () => {
    await topicOf(1);
    await topic.send(0, 0, 10);
    const offsets = new Offsets();
    const seen: (string | undefined)[] = [];
    let jumps = 0;
    const server = await topic.serve((batch) => {
      seen.push(server.state.partitions[0]?.stalled);
      if (jumps++ === 0) {
        offsets.move(0, 8n);
        throw new RepositionError('go on at 8');
      }
      offsets.take(batch);
    }, offsets.startAt);
    await eventually(() => expect(offsets.values.get(0)).toEqual(['8', '9']));
    expect(seen).toEqual([undefined, undefined]);
  });

  it('an offset that cannot be looked up holds its partition back, alone, until it can', async () => {
    await topicOf(2);
    await topic.send(0, 0, 5);
    await topic.send(1, 0, 5);
    const offsets = new Offsets();
    let isAway = true;
    const server = await topic.serve(offsets.take, (name, partition, bounds) => {
      if (partition === 0 && isAway) return Promise.reject(new Error('the database is away'));
      return offsets.startAt(name, partition, bounds);
    });
    await eventually(() => expect(offsets.values.get(1)).toHaveLength(5));
    await eventually(() => {
      const held = server.state.partitions.find(({ partition }) => partition === 0);
      expect(held).toMatchObject({ nextOffset: undefined, stalled: 'the database is away' });
    });
    expect(offsets.values.get(0)).toBeUndefined();
    isAway = false;
    await eventually(() => expect(offsets.values.get(0)).toHaveLength(5));
    expect(server.state.partitions.every(({ stalled }) => stalled === undefined)).toBe(true);
  });
});

describe('the log', () => {
  it('is shown with its bounds, so that an offset past its end is noticed before anything is fetched', async () => {
    await topicOf(1);
    await topic.send(0, 0, 5);
    const offsets = new Offsets();
    offsets.move(0, 1_000n);
    await topic.serve(offsets.take, offsets.startAt);
    await eventually(() => expect(offsets.values.get(0)).toEqual(upTo(5)));
    expect(offsets.asked[0]).toEqual({ partition: 0, bounds: { low: 0n, end: 5n } });
  });

  it('is never read from an offset that it does not hold', async () => {
    await topicOf(1);
    await topic.send(0, 0, 5);
    const handled: KafkaBatch[] = [];
    const server = await topic.serve(
      (batch) => void handled.push(batch),
      () => Promise.resolve(6n),
    );
    await eventually(() => expect(server.state.partitions[0]?.stalled).toMatch(/offset 6 is outside of the partition/));
    expect(handled).toEqual([]);
  });

  it('is read again from its beginning after it was lost and made anew while it was being read', async () => {
    await topicOf(1);
    await topic.send(0, 0, 10);
    const offsets = new Offsets();
    await topic.serve(offsets.take, offsets.startAt);
    await eventually(() => expect(offsets.values.get(0)).toHaveLength(10));
    await topic.drop();
    await topic.make(1);
    await topic.send(0, 100, 103);
    await eventually(() => expect(offsets.values.get(0)?.slice(10)).toEqual(['100', '101', '102']), 40_000);
  });

  it('that begins after the next offset goes on at the first record that is left', async () => {
    await topicOf(1);
    await topic.send(0, 0, 10);
    const offsets = new Offsets();
    offsets.move(0, 2n);
    await topic.deleteBelow(0, 6);
    await topic.serve(offsets.take, offsets.startAt);
    await eventually(() => expect(offsets.values.get(0)).toEqual(['6', '7', '8', '9']));
  });
});

describe('the group', () => {
  it('shares its partitions: members come and go, and nothing is handed out twice or left out', async () => {
    await topicOf(6);
    const offsets = new Offsets();
    const first = await topic.serve(offsets.take, offsets.startAt);
    let sent = 0;
    const send = async (count: number) => {
      for (let partition = 0; partition < 6; partition += 1) await topic.send(partition, sent, sent + count);
      sent += count;
    };
    await send(50);
    const second = await topic.serve(offsets.take, offsets.startAt);
    await send(50);
    await eventually(() => {
      expect(first.state.partitions).toHaveLength(3);
      expect(second.state.partitions).toHaveLength(3);
    });
    const sending = send(50);
    await first.close();
    await sending;
    await eventually(() => {
      for (let partition = 0; partition < 6; partition += 1) expect(offsets.values.get(partition)).toEqual(upTo(sent));
    });
    expect(second.state.partitions).toHaveLength(6);
  });

  it('keeps a member whose handler takes longer than a session', async () => {
    await topicOf(1);
    const offsets = new Offsets();
    const stale: boolean[] = [];
    const server = await topic.serve(async (batch) => {
      await pause(7_500);
      stale.push(batch.isStale());
      offsets.take(batch);
    }, offsets.startAt);
    await topic.send(0, 0, 1);
    await eventually(() => expect(offsets.values.get(0)).toEqual(['0']));
    expect(stale).toEqual([false]);
    expect(server.state.joined).toBe(true);
  });

  it('is left by a server that closes, after its handlers are done', async () => {
    await topicOf(1);
    const offsets = new Offsets();
    let running = 0;
    const server = await topic.serve(async (batch) => {
      running += 1;
      await pause(1_000);
      offsets.take(batch);
      running -= 1;
    }, offsets.startAt);
    await topic.send(0, 0, 3);
    await eventually(() => expect(running).toBe(1));
    await server.close();
    expect(running).toBe(0);
    expect(offsets.values.get(0)).toEqual(upTo(3));
    const { groups } = await topic.admin.describeGroups([topic.groupId]);
    expect(groups[0]?.members).toEqual([]);
    expect(server.state).toMatchObject({ joined: false, partitions: [] });
  });

  it('of one process alone is deleted when its server closes', async () => {
    await topicOf(1);
    const offsets = new Offsets();
    const server = await topic.serve(offsets.take, offsets.startAt, { isGroupTemporary: true });
    await topic.send(0, 0, 1);
    await eventually(() => expect(offsets.values.get(0)).toEqual(['0']));
    await server.close();
    const { groups } = await topic.admin.listGroups();
    expect(groups.map(({ groupId }) => groupId)).not.toContain(topic.groupId);
  });
});

describe('a broker that is away', () => {
  it('does not keep the server from starting; it joins when the broker comes', async () => {
    await topicOf(1);
    await topic.send(0, 0, 3);
    const gate = new Gate(await freePort(), brokers[0] as string);
    made.push({ remove: () => gate.close() });
    const offsets = new Offsets();
    const away = { brokers: [`127.0.0.1:${gate.port}`] };
    const server = await topic.serve(offsets.take, offsets.startAt, away);
    expect(server.state).toMatchObject({ joined: false, partitions: [] });
    await eventually(() => expect(server.state.failure).toMatch(/ECONNREFUSED|Connection/));
    await gate.open();
    await eventually(() => expect(offsets.values.get(0)).toEqual(upTo(3)));
    expect(server.state).toMatchObject({ joined: true, failure: undefined });
  });

  it('does not keep the server from closing', async () => {
    await topicOf(1);
    const offsets = new Offsets();
    const away = { brokers: [`127.0.0.1:${await freePort()}`] };
    const server = await topic.serve(offsets.take, offsets.startAt, away);
    await pause(300);
    const closing = performance.now();
    await server.close();
    expect(performance.now() - closing).toBeLessThan(11_000);
    expect(server.state.joined).toBe(false);
  });

  it('like a topic that is not there yet, is waited for', async () => {
    await topicOf(1);
    await topic.drop();
    const offsets = new Offsets();
    const server = await topic.serve(offsets.take, offsets.startAt);
    await eventually(() => expect(server.state.failure).toContain(topic.name));
    await topic.make(1);
    await topic.send(0, 0, 2);
    await eventually(() => expect(offsets.values.get(0)).toEqual(upTo(2)));
  });
});
