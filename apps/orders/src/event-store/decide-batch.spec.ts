import { describe, expect, it } from '@jest/globals';
import {
  ORDER_ID,
  cancelling,
  expiring,
  placed,
  placing,
  recorded,
  recordingDecline,
} from '../order/rulebook.testing.ts';
import { decideBatch, type Command } from './decide-batch.ts';
import { referenceKey, type Loaded } from './load.ts';

const nothing = (): Loaded => ({ outcomes: new Map(), streams: new Map(), references: new Map() });
const withOrder = (): Loaded => ({
  ...nothing(),
  streams: new Map([[ORDER_ID, recorded([placed]).map((event) => ({ ...event, position: 7 }))]]),
});
const now = new Date('2026-01-01T00:00:00.000Z');
const command = (id: string, order: Command['order'], payloadHash = 'h'): Command => ({ id, payloadHash, order });
const OTHER_ID = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b11';

describe('a batch of commands', () => {
  it('gives each order the position of its own event', () => {
    const commands = [command('a', placing()), command('b', { ...placing(), orderId: OTHER_ID })];
    const replies = decideBatch(commands, nothing(), now).replies(100);
    expect(replies.map((reply) => reply.outcome === 'accepted' && reply.order.position)).toEqual([100, 101]);
  });

  it('lets two commands on one order see each other, in the order of arrival', () => {
    const { batch, replies } = decideBatch([command('a', cancelling()), command('b', cancelling())], withOrder(), now);
    expect(replies(8)).toMatchObject([
      { outcome: 'accepted', order: { status: 'cancelled', version: 2, position: 8 } },
      { outcome: 'rejected', rejection: { code: 'order_closed', status: 'cancelled' } },
    ]);
    expect(batch.events).toHaveLength(1);
    expect(batch.orders).toHaveLength(1);
    expect(batch.outcomes).toHaveLength(2);
  });

  it('answers a command that stands in it twice the same, and stores it once', () => {
    const { batch, replies } = decideBatch([command('a', placing()), command('a', placing())], nothing(), now);
    const [first, second] = replies(1);
    expect(first).toMatchObject({ outcome: 'accepted', replayed: false });
    expect(second).toEqual({ ...first, replayed: true });
    expect(batch.events).toHaveLength(1);
    expect(batch.outcomes).toHaveLength(1);
  });

  it('refuses a command id that stands in it for two different things, and keeps the first', () => {
    const commands = [command('a', placing(), 'one'), command('a', placing({ customerId: 'c-43' }), 'two')];
    const { batch, replies } = decideBatch(commands, nothing(), now);
    expect(replies(1)).toMatchObject([{ outcome: 'accepted' }, { rejection: { code: 'key_reused' } }]);
    expect(batch.outcomes).toHaveLength(1);
  });

  it('answers an earlier command with the order as it was then, though it has moved on', () => {
    const events = recorded([placed, { type: 'order.cancelled.v1', data: { cause: 'customer' } }]);
    const loaded: Loaded = {
      outcomes: new Map([['a', { payloadHash: 'h', orderId: ORDER_ID, version: 1, rejection: null }]]),
      streams: new Map([[ORDER_ID, events.map((event, index) => ({ ...event, position: 7 + index }))]]),
      references: new Map(),
    };
    const { batch, replies } = decideBatch([command('a', placing())], loaded, now);
    expect(replies(0)).toMatchObject([{ replayed: true, order: { status: 'placed', version: 1, position: 7 } }]);
    expect(batch).toMatchObject({ outcomes: [], orders: [], events: [] });
  });

  it('answers an earlier refusal again, though the order would be open now', () => {
    const rejection = { code: 'order_closed', status: 'shipped', version: 4 } as const;
    const loaded = {
      ...withOrder(),
      outcomes: new Map([['a', { payloadHash: 'h', orderId: ORDER_ID, version: null, rejection }]]),
    };
    const { replies } = decideBatch([command('a', cancelling())], loaded, now);
    expect(replies(0)).toEqual([{ outcome: 'rejected', rejection, replayed: true }]);
  });

  it('takes a reference for the first of two placements that claim it', () => {
    const first = command('a', placing({ reference: 'cart-77' }));
    const second = command('b', { ...placing({ reference: 'cart-77' }), orderId: OTHER_ID });
    const { replies } = decideBatch([first, second], nothing(), now);
    expect(replies(1)[1]).toMatchObject({ rejection: { code: 'reference_taken', orderId: ORDER_ID } });
  });

  it('refuses a reference that an earlier order of the customer has, and not that of another customer', () => {
    const loaded = { ...nothing(), references: new Map([[referenceKey('c-42', 'cart-77'), OTHER_ID]]) };
    const commands = [
      command('a', placing({ reference: 'cart-77' })),
      command('b', placing({ reference: 'cart-77', customerId: 'c-43' })),
    ];
    const [taken, free] = decideBatch(commands, loaded, now).replies(1);
    expect(taken).toMatchObject({ rejection: { code: 'reference_taken', orderId: OTHER_ID } });
    expect(free).toMatchObject({ outcome: 'accepted' });
  });

  it('gives an order its id in the moment of its placing', () => {
    const place = { ...command('a', placing()), newOrderId: (at: Date) => (at === now ? OTHER_ID : ORDER_ID) };
    const { batch, replies } = decideBatch([place], nothing(), now);
    expect(replies(1)).toMatchObject([{ order: { id: OTHER_ID, placedAt: now.toISOString() } }]);
    expect(batch).toMatchObject({ outcomes: [{ orderId: OTHER_ID }], events: [{ orderId: OTHER_ID }] });
  });

  it('answers what changes nothing with the order as it is, and stores that answer alone', () => {
    const events = recorded([placed, { type: 'order.cancelled.v1', data: { cause: 'customer' } }]);
    const loaded: Loaded = {
      ...nothing(),
      streams: new Map([[ORDER_ID, events.map((event, index) => ({ ...event, position: 7 + index }))]]),
    };
    const { batch, replies } = decideBatch([command('a', recordingDecline())], loaded, now);
    expect(replies(0)).toMatchObject([
      { outcome: 'accepted', replayed: false, order: { status: 'cancelled', version: 2, position: 8 } },
    ]);
    expect(batch).toMatchObject({ events: [], orders: [], outcomes: [{ version: 2, rejection: null }] });
  });

  it('answers what changes nothing after a change of this batch with the position of that change', () => {
    const commands = [
      command('a', cancelling()),
      command('b', { ...placing(), orderId: OTHER_ID }),
      command('c', expiring),
    ];
    const [cancelled, , expired] = decideBatch(commands, withOrder(), now).replies(100);
    expect(cancelled).toMatchObject({ order: { version: 2, position: 100 } });
    expect(expired).toMatchObject({ order: { status: 'cancelled', version: 2, position: 100 } });
  });
});
