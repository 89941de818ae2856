import { Order } from '@tandem/contracts/order';
import { OrderFilter, PAGE_LIMIT_MAX, RecordedEvent } from '@tandem/contracts/order-queries';
import { z } from 'zod';
import { decimal, instant } from '../query-text.ts';

const page = {
  limit: decimal(z.int().min(1).max(PAGE_LIMIT_MAX).default(20)),
  cursor: z.string().min(1).max(200).optional().meta({ description: '`nextCursor` of the page before' }),
};

/** The parameters of `GET /v1/orders`. */
export const OrdersParameters = z.strictObject({
  customer: OrderFilter.shape.customerId,
  status: OrderFilter.shape.status,
  reference: OrderFilter.shape.reference,
  currency: OrderFilter.shape.currency,
  placedAfter: instant.optional().meta({ description: 'Placed later than this', example: '2026-01-01T00:00:00Z' }),
  placedBefore: instant.optional().meta({ description: 'Placed earlier than this', example: '2027-01-01T00:00:00Z' }),
  ...page,
});
export type OrdersParameters = z.infer<typeof OrdersParameters>;

/** The version of an event, as a cursor holds it; a version is a 32-bit integer. */
export const VersionText = z
  .string()
  .regex(/^[1-9]\d{0,9}$/)
  .transform(Number)
  .pipe(z.int().max(2 ** 31 - 1));

/** The parameters of `GET /v1/orders/{id}/events`. */
export const EventsParameters = z.strictObject(page);
export type EventsParameters = z.infer<typeof EventsParameters>;

const nextCursor = z
  .string()
  .nullable()
  .meta({ description: 'Null on the last page; goes with the same filters only' });

/** Orders, newest first. */
export const OrderPage = z.strictObject({ data: z.array(Order), nextCursor }).meta({ id: 'OrderPage' });
export type OrderPage = z.infer<typeof OrderPage>;

/** The events of one order, oldest first. */
export const EventPage = z.strictObject({ data: z.array(RecordedEvent), nextCursor }).meta({ id: 'EventPage' });
export type EventPage = z.infer<typeof EventPage>;
