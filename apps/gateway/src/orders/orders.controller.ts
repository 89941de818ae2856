import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { OrderId, type Order } from '@tandem/contracts/order';
import {
  CancelOrder,
  CloseRefund,
  ConfirmDelivery,
  PlaceOrder,
  RefundOrder,
  ShipOrder,
  type CommandReply,
  type PlaceOrderSent,
} from '@tandem/contracts/order-commands';
import { ORDER_COMMANDS } from '@tandem/contracts/topology';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { etagOf, refused } from '../problem.ts';
import { utcOf } from '../query-text.ts';
import { traceOf } from '../trace.ts';
import { IntakeState } from '../operator/intake.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { conditionsOf, readingOf } from './etag.ts';
import { prepare } from './prepare.ts';
import {
  EventsParameters,
  OrdersParameters,
  RefundIdText,
  VersionText,
  type EventPage,
  type OrderPage,
} from './order-pages.ts';
import {
  DocumentCancelOrder,
  DocumentCloseRefund,
  DocumentConfirmDelivery,
  DocumentRefundOrder,
  DocumentShipOrder,
} from './order-commands.docs.ts';
import { DocumentGetOrder, DocumentListEvents, DocumentListOrders, DocumentPlaceOrder } from './orders.docs.ts';
import { OrdersClient } from './orders.client.ts';

/** What a cursor is bound to, in this order. */
const FILTERS = [
  'customerId',
  'status',
  'reference',
  'currency',
  'placedAfter',
  'placedBefore',
  'placedFrom',
  'refundStatus',
] as const;

@Controller('v1/orders')
export class OrdersController {
  constructor(
    private readonly orders: OrdersClient,
    private readonly intake: IntakeState,
  ) {}

  @Post()
  @HttpCode(201)
  @DocumentPlaceOrder()
  async place(
    @Body({ schema: PlaceOrder }) body: PlaceOrderSent,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Order> {
    const { commandId, ...sending } = prepare(request, reply, ORDER_COMMANDS.place);
    const message = { commandId, body };
    const answer = await this.intake.expectOpen().then(
      () => this.orders.place(message, sending),
      (refusal: Error) => this.orders.repeat(ORDER_COMMANDS.place, message, sending, refusal),
    );
    const order = orderOf(answer, reply);
    reply.header('location', `/v1/orders/${order.id}`);
    return order;
  }

  @Get()
  @DocumentListOrders()
  async list(
    @Query({ schema: OrdersParameters }) parameters: OrdersParameters,
    @Req() request: FastifyRequest,
  ): Promise<OrderPage> {
    const { limit, cursor, customer: customerId, status, reference, currency, refundStatus } = parameters;
    const placedFrom = utcOf(parameters.placedFrom, 'placedFrom');
    const placedAfter = utcOf(parameters.placedAfter, 'placedAfter');
    const placedBefore = utcOf(parameters.placedBefore, 'placedBefore');
    const filter = { customerId, status, reference, currency, refundStatus, placedFrom, placedAfter, placedBefore };
    const list = ['orders', ...FILTERS.map((name) => filter[name])];
    const query = { filter, limit, before: readCursor(list, cursor, OrderId) };
    const { orders, more } = await this.orders.list(query, traceOf(request));
    const last = orders.at(-1);
    return { data: orders, nextCursor: more && last !== undefined ? writeCursor(list, last.id) : null };
  }

  @Get(':id')
  @DocumentGetOrder()
  async get(
    @Param('id', { schema: OrderId }) orderId: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Order | undefined> {
    const { order } = await this.orders.get({ orderId }, traceOf(request));
    if (order === null) throw refused({ code: 'order_not_found', orderId });
    const { status, version } = order;
    const reading = readingOf(request.headers, version);
    if (reading === 'mismatch') throw refused({ code: 'version_mismatch', status, version }, orderId);
    // A client may keep the order as long as it asks each time whether it is still the same.
    reply.headers({ etag: etagOf(version), 'cache-control': 'private, no-cache' });
    if (reading === 'whole') return order;
    reply.code(304);
    return undefined;
  }

  @Get(':id/events')
  @DocumentListEvents()
  async events(
    @Param('id', { schema: OrderId }) orderId: string,
    @Query({ schema: EventsParameters }) { limit, cursor }: EventsParameters,
    @Req() request: FastifyRequest,
  ): Promise<EventPage> {
    const list = ['events', orderId];
    const afterVersion = readCursor(list, cursor, VersionText) ?? 0;
    const { found, events, more } = await this.orders.events({ orderId, afterVersion, limit }, traceOf(request));
    if (!found) throw refused({ code: 'order_not_found', orderId });
    const last = events.at(-1);
    return { data: events, nextCursor: more && last !== undefined ? writeCursor(list, String(last.version)) : null };
  }

  @Post(':id/cancel')
  @RouteConfig({ conditional: true })
  @HttpCode(200)
  @DocumentCancelOrder()
  async cancel(
    @Param('id', { schema: OrderId }) orderId: string,
    @Body({ schema: CancelOrder }) body: CancelOrder,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Order> {
    const conditions = conditionsOf(request.headers);
    const { commandId, ...sending } = prepare(request, reply, ORDER_COMMANDS.cancel, orderId);
    return orderOf(await this.orders.cancel({ commandId, orderId, ...conditions, body }, sending), reply, orderId);
  }

  @Post(':id/ship')
  @RouteConfig({ conditional: true })
  @HttpCode(200)
  @DocumentShipOrder()
  async ship(
    @Param('id', { schema: OrderId }) orderId: string,
    @Body({ schema: ShipOrder }) body: ShipOrder,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Order> {
    const conditions = conditionsOf(request.headers);
    const { commandId, ...sending } = prepare(request, reply, ORDER_COMMANDS.ship, orderId);
    return orderOf(await this.orders.ship({ commandId, orderId, ...conditions, body }, sending), reply, orderId);
  }

  @Post(':id/deliver')
  @RouteConfig({ conditional: true })
  @HttpCode(200)
  @DocumentConfirmDelivery()
  async deliver(
    @Param('id', { schema: OrderId }) orderId: string,
    @Body({ schema: ConfirmDelivery }) body: ConfirmDelivery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Order> {
    const conditions = conditionsOf(request.headers);
    const { commandId, ...sending } = prepare(request, reply, ORDER_COMMANDS.deliver, orderId);
    return orderOf(await this.orders.deliver({ commandId, orderId, ...conditions, body }, sending), reply, orderId);
  }

  @Post(':id/refund')
  @RouteConfig({ conditional: true })
  @HttpCode(200)
  @DocumentRefundOrder()
  async refund(
    @Param('id', { schema: OrderId }) orderId: string,
    @Body({ schema: RefundOrder }) body: RefundOrder,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Order> {
    const conditions = conditionsOf(request.headers);
    const { commandId, ...sending } = prepare(request, reply, ORDER_COMMANDS.refund, orderId);
    return orderOf(await this.orders.refund({ commandId, orderId, ...conditions, body }, sending), reply, orderId);
  }

  @Post(':id/refunds/:refundId/close')
  @RouteConfig({ conditional: true })
  @HttpCode(200)
  @DocumentCloseRefund()
  async closeRefund(
    @Param('id', { schema: OrderId }) orderId: string,
    @Param('refundId', { schema: RefundIdText }) refundId: number,
    @Body({ schema: CloseRefund }) body: CloseRefund,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Order> {
    const conditions = conditionsOf(request.headers);
    const { commandId, ...sending } = prepare(request, reply, ORDER_COMMANDS.closeRefund, orderId);
    return orderOf(
      await this.orders.closeRefund({ commandId, orderId, ...conditions, refundId, body }, sending),
      reply,
      orderId,
    );
  }
}

function orderOf(answer: CommandReply, reply: FastifyReply, orderId?: string): Order {
  if (answer.replayed) reply.header('idempotency-replayed', 'true');
  if (answer.outcome === 'rejected') throw refused(answer.rejection, orderId);
  reply.header('etag', etagOf(answer.order.version));
  return answer.order;
}
