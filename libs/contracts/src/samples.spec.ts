import { readdirSync, readFileSync } from 'node:fs';
import { EventHeaders, LogCheckpoint } from './event-record.ts';
import {
  CancelOrderMessage,
  ConfirmDeliveryMessage,
  PlaceOrderMessage,
  RecordDeclineMessage,
  RecordPaymentMessage,
  RecordRefundMessage,
  RefundOrderMessage,
  ShipOrderMessage,
} from './order-commands.ts';
import { ORDER_EVENT_TYPES, OrderEvent, OrderPlaced } from './order-events.ts';
import { ORDER_COMMANDS } from './topology.ts';
import type { z } from 'zod';

const folder = new URL('./samples/', import.meta.url);
const sample = (name: string): Record<string, unknown> => JSON.parse(readFileSync(new URL(name, folder), 'utf8'));

// What was once published stays in the log for ever, so these files are never changed, only added to.
describe('the golden samples', () => {
  const events = readdirSync(new URL('events/', folder));

  it.each(events)('%s still reads as what it was', (file) => {
    const written = sample(`events/${file}`);
    expect(OrderEvent.parse(written)).toEqual(written);
  });

  it('show every type of event', () => {
    expect(events.map((file) => file.replace(/\.json$/, '')).sort()).toEqual([...ORDER_EVENT_TYPES].sort());
  });

  it('show a record of the log, whose positions read as numbers', () => {
    const record = sample('event-record.json');
    const headers = EventHeaders.parse(record['headers']);
    expect([headers.position, headers.prev, headers.version]).toEqual([1234n, 1229n, 1]);
    expect(OrderPlaced.parse(record['value'])).toEqual(record['value']);
  });

  it('show a checkpoint of the log', () => {
    const checkpoint = sample('log-checkpoint.json');
    expect(LogCheckpoint.parse(checkpoint)).toEqual(checkpoint);
  });

  it('show each command as it travels over RabbitMQ', () => {
    const schemas: Record<keyof typeof ORDER_COMMANDS, z.ZodType> = {
      place: PlaceOrderMessage,
      cancel: CancelOrderMessage,
      ship: ShipOrderMessage,
      deliver: ConfirmDeliveryMessage,
      refund: RefundOrderMessage,
      recordPayment: RecordPaymentMessage,
      recordDecline: RecordDeclineMessage,
      recordRefund: RecordRefundMessage,
    };
    for (const [command, schema] of Object.entries(schemas)) {
      const message = sample(`commands/${ORDER_COMMANDS[command as keyof typeof ORDER_COMMANDS]}.json`);
      expect(schema.parse(message)).toEqual(message);
    }
  });
});
