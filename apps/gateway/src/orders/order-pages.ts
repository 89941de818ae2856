import { Order } from '@tandem/contracts/order';
import { RefundId } from '@tandem/contracts/order-commands';
import { OrderFilter, PAGE_LIMIT_MAX, RecordedEvent } from '@tandem/contracts/order-queries';
import { z } from 'zod';
import { decimal, instant } from '../query-text.ts';

const page = {
  limit: decimal(z.int().min(1).max(PAGE_LIMIT_MAX).default(20)).meta({
    description: 'The most that the page may hold; it ends earlier, with a `nextCursor`, once it has 256 KiB',
  }),
  cursor: z.string().min(1).max(200).optional().meta({ description: '`nextCursor` of the page before' }),
};

/** The parameters of `GET /v1/orders`. */
export const OrdersParameters = z.strictObject({
  customer: OrderFilter.shape.customerId.meta({ description: 'The `customerId` of the orders' }),
  status: OrderFilter.shape.status.meta({ description: 'What the orders have come to' }),
  reference: OrderFilter.shape.reference.meta({ description: 'The reference that the customer gave' }),
  currency: OrderFilter.shape.currency.meta({ description: 'The currency of the orders' }),
  refundStatus: OrderFilter.shape.refundStatus.meta({ description: 'How much of what was paid has been given back' }),
  placedFrom: instant.optional().meta({ description: 'Placed at this time or later', example: '2026-01-01T00:00:00Z' }),
  placedBefore: instant.optional().meta({
    description: 'Placed earlier than this: ranges from one `placedFrom` to the next have each order once',
    example: '2027-01-01T00:00:00Z',
  }),
  placedAfter: instant.optional().meta({
    deprecated: true,
    description: 'Placed later than this, itself excluded. Use `placedFrom`',
    example: '2026-01-01T00:00:00Z',
  }),
  ...page,
});
export type OrdersParameters = z.infer<typeof OrdersParameters>;

/** The version of an event, as a cursor holds it; a version is a 32-bit integer. */
export const VersionText = z
  .string()
  .regex(/^[1-9]\d{0,9}$/)
  .transform(Number)
  .pipe(z.int().max(2 ** 31 - 1));

/** The id of a refund, as it stands in a path. */
export const RefundIdText = decimal(RefundId);

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
