import type { ArgumentMetadata } from '@nestjs/common';
import { describe, expect, it } from '@jest/globals';
import { CancelOrderMessage, PlaceOrderMessage } from '@tandem/contracts/order-commands';
import { MessagePipe } from '@tandem/transports/rabbitmq/message.pipe';
import type { z } from 'zod';

const pipe = new MessagePipe();
const transform = (value: unknown, schema: z.ZodType) =>
  pipe.transform(value, { type: 'body', schema } as unknown as ArgumentMetadata);

const commandId = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';
const order = { customerId: 'c-1', currency: 'EUR', lines: [{ sku: 'A', quantity: 1, unitPrice: 5 }] };

describe('the data of a message', () => {
  it('is what the schema makes of it', () => {
    expect(transform({ commandId, body: order }, PlaceOrderMessage)).toMatchObject({ body: { delivery: 'standard' } });
  });

  it('is refused with what is wrong, and where', () => {
    const wrong = () => transform({ commandId, orderId: 'no', body: {} }, CancelOrderMessage);
    expect(wrong).toThrow(expect.objectContaining({ error: expect.objectContaining({ code: 'invalid_message' }) }));
  });

  it('passes as it is where no schema is asked for', () => {
    expect(pipe.transform(order, { type: 'body' } as ArgumentMetadata)).toBe(order);
  });

  it.each([
    ['the message', `{"commandId":"${commandId}","body":${JSON.stringify(order)},"__proto__":{"admin":true}}`],
    [
      'the body',
      `{"commandId":"${commandId}","body":${JSON.stringify(order).slice(0, -1)},"__proto__":{"admin":true}}}`,
    ],
    [
      'a record',
      `{"commandId":"${commandId}","body":${JSON.stringify(order).slice(0, -1)},"metadata":{"__proto__":"x"}}}`,
    ],
  ])('never brings a prototype along: a key named __proto__ in %s is refused or left out', (_where, json) => {
    let parsed: Record<string, unknown>;
    try {
      parsed = transform(JSON.parse(json), PlaceOrderMessage) as Record<string, unknown>;
    } catch (error) {
      expect(error).toMatchObject({ error: { code: 'invalid_message' } });
      return;
    }
    const seen = [
      parsed,
      parsed['body'] as object,
      ((parsed['body'] as Record<string, unknown>)['metadata'] ?? {}) as object,
    ];
    for (const value of seen) {
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      expect(Object.hasOwn(value, '__proto__')).toBe(false);
      expect((value as Record<string, unknown>)['admin']).toBeUndefined();
    }
  });
});
