import { readFileSync } from 'node:fs';
import {
  PlaceOrder,
  CancelOrder,
  ConfirmDelivery,
  RefundOrder,
  ShipOrder,
  PlaceOrderMessage,
} from '@tandem/contracts/order-commands';
import { SwitchIntake } from '@tandem/contracts/intake';
import { RebuildOptions } from '@tandem/contracts/projections';
import { z } from 'zod';
import { laterDefaultsOf, payloadHashOf } from './payload-hash.ts';

const orderId = '0197c6f0-5b7a-7cc3-9a51-3f1f6f3c2b10';
const smallest = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };
const sample = new URL('../../../../libs/contracts/src/samples/commands/order.place.json', import.meta.url);

/** The next version of the contract: one optional and one defaulted field more. */
const NextPlaceOrder = PlaceOrder.safeExtend({
  giftNote: z.string().optional(),
  giftWrap: z.boolean().default(false),
});
const hashOf = (body: object, schema: z.ZodObject = PlaceOrder) =>
  payloadHashOf({ type: 'PlaceOrder', body: schema.parse(body) }, laterDefaultsOf(schema));

describe('the hash of a payload', () => {
  it('equals the one that the first version stored', () => {
    const { body } = PlaceOrderMessage.parse(JSON.parse(readFileSync(sample, 'utf8')));
    expect(hashOf(body)).toBe('f2578a4a-854c-21f2-1d38-ecf01a7e7dc5');
    expect(hashOf(smallest)).toBe('0e7dd786-f5d5-4aaf-51d2-5b296dfb8a7f');
    expect(payloadHashOf({ type: 'RefundOrder', orderId, ifVersion: 2, body: { amount: 5 } } as never)).toBe(
      '67088539-752b-185f-367d-4e0d52e4213e',
    );
  });

  it('stays the same when a version adds an optional and a defaulted field', () => {
    expect(hashOf(smallest, NextPlaceOrder)).toBe(hashOf(smallest));
    expect(hashOf({ ...smallest, giftWrap: false }, NextPlaceOrder)).toBe(hashOf(smallest));
  });

  it('tells a body that sets a new field from one that does not', () => {
    const hashes = [{}, { giftWrap: true }, { giftNote: 'For you' }].map((more) =>
      hashOf({ ...smallest, ...more }, NextPlaceOrder),
    );
    expect(new Set(hashes).size).toBe(3);
  });

  it('is the same for a default that is sent and for one that is left out', () => {
    expect(hashOf({ ...smallest, delivery: 'standard', adjustments: [] })).toBe(hashOf(smallest));
  });
});

describe('a default in the body of a command', () => {
  it.each([PlaceOrder, CancelOrder, ShipOrder, ConfirmDelivery, RefundOrder, SwitchIntake, RebuildOptions])(
    'stands at the top of the body, where the hash leaves it out',
    (body) => {
      const first = ['adjustments', 'delivery', 'payment'];
      for (const [field, property] of Object.entries(z.toJSONSchema(body, { io: 'input' }).properties ?? {})) {
        const { default: value, ...below } = property as { default?: unknown };
        expect(JSON.stringify(below)).not.toContain('"default":');
        if (value !== undefined && !first.includes(field)) expect([...laterDefaultsOf(body).keys()]).toContain(field);
      }
    },
  );
});
