import { readdirSync, readFileSync } from 'node:fs';
import { EventHeaders, LogCheckpoint } from './event-record.ts';
import { ORDER_EVENT_VERSIONS } from './event-versions.ts';
import {
  CancelOrderMessage,
  CloseRefundMessage,
  ConfirmDeliveryMessage,
  PlaceOrderMessage,
  RecordDeclineMessage,
  RecordPaymentMessage,
  RecordRefundDeclineMessage,
  RecordRefundMessage,
  RefundOrderMessage,
  ShipOrderMessage,
} from './order-commands.ts';
import { OrderEvent, OrderPlaced } from './order-events.ts';
import { AuthoriseJob, PAYMENT_JOBS, RefundJob } from './payment-jobs.ts';
import { ORDER_COMMANDS } from './topology.ts';
import type { z } from 'zod';

const folder = new URL('./samples/', import.meta.url);
const sample = (name: string): Record<string, unknown> => JSON.parse(readFileSync(new URL(name, folder), 'utf8'));

// What was once published stays in the log for ever, so these files are never changed, only added to.
describe('the golden samples', () => {
  const events = readdirSync(new URL('events/', folder));

  it.each(events)('%s still reads as what it was', (file) => {
    const { type, data } = sample(`events/${file}`) as { type: string; data: unknown };
    expect(`${type}.json`).toBe(file);
    expect(ORDER_EVENT_VERSIONS.schemaOf(type)?.parse(data)).toEqual(data);
  });

  it.each(events)('%s still reads as an event of today', (file) => {
    const { type, data } = sample(`events/${file}`) as { type: string; data: unknown };
    const origin = { orderId: '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10', version: 1, at: new Date(0) };
    const event = ORDER_EVENT_VERSIONS.upcast(type, data, origin);
    expect(OrderEvent.parse(event)).toEqual(event);
  });

  it('show every type of event that was ever written', () => {
    expect(events.map((file) => file.replace(/\.json$/, '')).sort()).toEqual(ORDER_EVENT_VERSIONS.types.sort());
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
      closeRefund: CloseRefundMessage,
      recordPayment: RecordPaymentMessage,
      recordDecline: RecordDeclineMessage,
      recordRefund: RecordRefundMessage,
      recordRefundDecline: RecordRefundDeclineMessage,
    };
    for (const [command, schema] of Object.entries(schemas)) {
      const message = sample(`commands/${ORDER_COMMANDS[command as keyof typeof ORDER_COMMANDS]}.json`);
      expect(schema.parse(message)).toEqual(message);
    }
  });

  it('show each payment job', () => {
    const schemas = { [PAYMENT_JOBS.authorise]: AuthoriseJob, [PAYMENT_JOBS.refund]: RefundJob };
    for (const [kind, schema] of Object.entries(schemas)) {
      const job = sample(`jobs/${kind}.json`);
      expect(schema.parse(job)).toEqual(job);
    }
  });
});
