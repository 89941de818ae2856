import { z } from 'zod';
import { Amount, Currency, SignedAmount } from './money.ts';
import { Instant, Metadata, Position, identifier, text } from './text.ts';

/**
 * A UUID version 7: made by orders when the order is placed, so ids sort by the time of placing. Letters of either case name
 * the same order (RFC 9562, section 4), so they are made small before anybody compares them.
 */
export const OrderId = z
  .uuid()
  .toLowerCase()
  .meta({ description: 'UUID version 7', example: '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10' });

export const Version = z.int().min(1).meta({ description: 'The number of events of the order so far; the ETag' });

export const Quantity = z.int().min(1).max(1_000_000);

export const OrderLine = z
  .strictObject({ id: z.int().min(1), sku: identifier(64), quantity: Quantity, unitPrice: Amount })
  .meta({ id: 'OrderLine' });
export type OrderLine = z.infer<typeof OrderLine>;

/** Shipping and tax add, a discount takes away. They come from the caller. */
export const Adjustment = z
  .strictObject({ kind: z.enum(['shipping', 'tax', 'discount']), amount: SignedAmount })
  .refine(({ kind, amount }) => (kind === 'discount' ? amount <= 0 : amount >= 0), {
    path: ['amount'],
    error: 'must be negative for a discount, positive for shipping and tax',
  })
  .meta({ id: 'Adjustment' });
export type Adjustment = z.infer<typeof Adjustment>;

export const Delivery = z.enum(['standard', 'express']).meta({ id: 'Delivery' });
export const PaymentMethod = z.enum(['card', 'invoice']).meta({ id: 'PaymentMethod' });
export const Payment = z.strictObject({ method: PaymentMethod }).meta({ id: 'Payment' });

/** Why an order was cancelled: its customer asked, its payment was declined, or none came in time. */
export const CancellationCause = z.enum(['customer', 'declined', 'expired']).meta({ id: 'CancellationCause' });
export const Reason = text(500);

/** Some or all of a line of the order, by the line's id. */
export const LineQuantity = z.strictObject({ id: z.int().min(1), quantity: Quantity }).meta({ id: 'LineQuantity' });
export type LineQuantity = z.infer<typeof LineQuantity>;

export const Carrier = identifier(64);
export const TrackingCode = identifier(128);
/** What the payment provider calls a payment. */
export const PaymentId = identifier(64);

const Paid = z.strictObject({ amount: Amount, paymentId: PaymentId, at: Instant });
const Shipment = z.strictObject({
  id: z.int().min(1),
  carrier: Carrier.optional(),
  trackingCode: TrackingCode.optional(),
  lines: z.array(LineQuantity),
  at: Instant,
});
const Refund = z.strictObject({
  id: z.int().min(1),
  amount: Amount,
  lines: z.array(LineQuantity).optional(),
  reason: Reason.optional(),
  requestedAt: Instant,
  recordedAt: Instant.optional(),
  declined: z.strictObject({ reason: Reason, at: Instant }).optional().meta({
    description: 'The payment provider refused it: its amount may be asked for again',
  }),
  closed: z.strictObject({ reason: Reason, at: Instant }).optional().meta({
    description: 'Settled by hand: its amount is not asked for again',
  }),
});

/** How much of what was paid has been given back. */
export const RefundStatus = z.enum(['none', 'partial', 'full']).meta({ id: 'RefundStatus' });
export type RefundStatus = z.infer<typeof RefundStatus>;

const Cancellation = z.strictObject({ cause: CancellationCause, reason: Reason.optional(), at: Instant });

const common = {
  id: OrderId,
  version: Version,
  customerId: identifier(64),
  currency: Currency,
  lines: z.array(OrderLine),
  adjustments: z.array(Adjustment),
  total: Amount,
  delivery: Delivery,
  payment: Payment,
  reference: identifier(64).optional(),
  metadata: Metadata.optional(),
  refundStatus: RefundStatus,
  placedAt: Instant,
};
const afterPayment = { paid: Paid, shipments: z.array(Shipment), refunds: z.array(Refund) };

/** An order as its events leave it. Each state holds only what that state has. */
export const OrderState = z.discriminatedUnion('status', [
  z.strictObject({ ...common, status: z.literal('placed') }),
  z.strictObject({ ...common, status: z.literal('paid'), ...afterPayment }),
  z.strictObject({ ...common, status: z.literal('shipped'), ...afterPayment }),
  z.strictObject({ ...common, status: z.literal('delivered'), ...afterPayment, deliveredAt: Instant }),
  z.strictObject({
    ...common,
    status: z.literal('cancelled'),
    cancellation: Cancellation,
    paid: Paid.optional(),
    refunds: z.array(Refund),
  }),
]);
export type OrderState = z.infer<typeof OrderState>;

export const OrderStatus = z.enum(['placed', 'paid', 'shipped', 'delivered', 'cancelled']).meta({ id: 'OrderStatus' });
export type OrderStatus = z.infer<typeof OrderStatus>;

const position = { position: Position.meta({ description: "The position of the order's latest event in the log" }) };
const [Placed, PaidOrder, Shipped, Delivered, Cancelled] = OrderState.options;

/** An order as every reply shows it: its state and the position of its latest event. */
export const Order = z
  .discriminatedUnion('status', [
    Placed.extend(position).meta({ id: 'PlacedOrder' }),
    PaidOrder.extend(position).meta({ id: 'PaidOrder' }),
    Shipped.extend(position).meta({ id: 'ShippedOrder' }),
    Delivered.extend(position).meta({ id: 'DeliveredOrder' }),
    Cancelled.extend(position).meta({ id: 'CancelledOrder' }),
  ])
  .meta({ id: 'Order' });
export type Order = z.infer<typeof Order>;
